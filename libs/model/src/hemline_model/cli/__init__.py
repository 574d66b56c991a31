"""The command line of this library: `app` is a Typer application to run or to mount."""

from hemline_model.cli._app import app

__all__ = ["app"]
