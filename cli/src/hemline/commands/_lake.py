"""Which lake a command works on: a local installation's, or the one it is told."""

from pathlib import Path
from typing import Annotated

import typer

from hemline._place import require_installation

__all__ = ["ClassifierOption", "LakeOption", "find_lake"]

LakeOption = Annotated[
    str | None,
    typer.Option(
        "--lake",
        help="A folder, s3:// or gs:// URI; default: the local installation's.",
        show_default=False,
    ),
]
ClassifierOption = Annotated[
    str | None,
    typer.Option("--classifier", help="With --lake: whose part of it.", show_default="mnist"),
]


def find_lake(state: Path | None, lake: str | None, classifier: str | None) -> tuple[str, str]:
    """URI of the lake, and the classifier.

    Raises:
        UsageFailure: no lake is named and there is no installation.
    """
    if lake is not None:
        return lake, classifier or "mnist"
    _, installation = require_installation(state)
    return installation.lake, classifier or installation.classifier
