"""`python -m hemline_model`: the library's own command line. Extra `cli`, and `train` to train."""

import sys

try:
    import rich  # noqa: F401
    import typer  # noqa: F401
except ModuleNotFoundError as error:
    sys.exit(
        f"error: the command line needs {error.name}: pip install 'hemline-model[cli]', or "
        "'hemline-model[train,cli]' to train"
    )

from hemline_model.cli import app

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    app(prog_name="python -m hemline_model")


if __name__ == "__main__":
    main()
