"""``hemline lake``: upkeep of the sample tables."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from hemline._place import StateOption
from hemline.commands._lake import ClassifierOption, LakeOption, find_lake
from hemline_runtime import UsageFailure
from hemline_store import Lake
from hemline_store.tables import Samples

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Upkeep of the lake's tables; every command is safe while everything runs.",
)

_AGE = re.compile(r"([0-9]{1,6})\s*([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command()
def compact(
    state: StateOption = None, lake: LakeOption = None, classifier: ClassifierOption = None
) -> None:
    """Join the many small files that collecting leaves into few large ones, so that reading is fast.

    Example: hemline lake compact
    """
    samples = _open(state, lake, classifier)
    try:
        done = samples.compact()
    finally:
        samples.close()
    print(f"{done.files_removed:,} files became {done.files_added:,}")


@app.command()
def expire(
    older_than: Annotated[
        str, typer.Argument(help="Age, as in 30d, 12h: younger images may still get a label.")
    ],
    state: StateOption = None,
    lake: LakeOption = None,
    classifier: ClassifierOption = None,
) -> None:
    """Remove stream images that no label ever came for.

    Example: hemline lake expire 30d
    """
    age = parse_age(older_than)
    samples = _open(state, lake, classifier)
    try:
        done = samples.expire(age)
    finally:
        samples.close()
    print(f"{done.images:,} unlabelled images removed")


@app.command()
def clean(
    older_than: Annotated[
        str, typer.Argument(help="Age of versions that nobody reads any more, as in 7d.")
    ] = "7d",
    tags_older_than: Annotated[
        str | None,
        typer.Option(help="Also give up snapshots of refused runs older than this, as in 30d."),
    ] = None,
    state: StateOption = None,
    lake: LakeOption = None,
    classifier: ClassifierOption = None,
) -> None:
    """Remove old versions of the tables and what killed writers left; snapshots that a model names stay.

    Example: hemline lake clean 7d
    """
    age = parse_age(older_than)
    tags = parse_age(tags_older_than) if tags_older_than is not None else None
    samples = _open(state, lake, classifier)
    try:
        done = samples.clean(age, tags_older_than=tags)
    finally:
        samples.close()
    print(
        f"{done.versions:,} old versions and {done.uploads:,} left-over uploads removed, "
        f"{len(done.tags):,} snapshots given up, {done.bytes:,} bytes freed"
    )


def parse_age(text: str) -> timedelta:
    """A number and s, m, h, d or w.

    Raises:
        UsageFailure: it is something else.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise UsageFailure(
            f"received the age {text!r}, expected a number and s, m, h, d or w, as in 30d"
        )
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _open(state: Path | None, lake: str | None, classifier: str | None) -> Samples:
    uri, name = find_lake(state, lake, classifier)
    return Samples.open(Lake(uri, name))
