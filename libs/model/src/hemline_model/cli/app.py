"""The Typer application, under the name that others mount it by."""

from hemline_model.cli._app import app

__all__ = ["app"]
