"""The console script ``hemline``."""

from importlib.metadata import version

import typer

from hemline._lazy import LazyGroup
from hemline_runtime import main as run_app

__all__ = ["app", "main"]

app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def hemline(
    show_version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True
    ),
) -> None:
    """Classify a stream of images and keep the model fresh.

    The whole loop on this machine, in a few minutes:

    [cyan]  hemline demo[/]

    An installation of your own, and an image through it:

    [cyan]  hemline up[/]

    [cyan]  hemline send examples/images/sandal5.png[/]

    A model on your own images, one folder per class:

    [cyan]  hemline train photos/[/]
    """
    if show_version:
        print(f"hemline {version('hemline')}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    run_app(app)


if __name__ == "__main__":
    main()
