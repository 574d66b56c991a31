"""`ensemble`: several models as one."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hemline_model._data import dataset
from hemline_model.cli._command import command_of
from hemline_model.cli._common import conclude, one_line_errors

__all__ = ["ensemble"]


@one_line_errors
def ensemble(
    context: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(help="Model directories, or shipped models by name, of the same classes."),
    ],
    data: Annotated[
        str,
        typer.Option(help="The data set they were trained on: the joint model is judged on it."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="New directory for the joint model.")
    ] = Path("ensemble"),
) -> None:
    """Join models into one that is right more often and takes as long as all of them.

    Train the same data twice with another --seed and join the two. All are asked about the
    mirrored image too if all of them learned from mirrored ones. Nothing is trained.
    """
    from hemline_model._card import read_card
    from hemline_model._pretrained import model_directory
    from hemline_model.training import ensemble_to_directory

    contract = read_card(model_directory(models[0])).input
    console = Console(stderr=True)
    with console.status("joining, judging and exporting"):
        opened = dataset(data, contract)
        card = ensemble_to_directory(models, opened, out, command=command_of(context))
    conclude(console, card)
    typer.echo(out)
