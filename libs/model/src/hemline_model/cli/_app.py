"""The commands `train`, `ensemble`, `test`, `predict`, `export` and `inspect`."""

import dataclasses
import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hemline_model import _functions as functions
from hemline_model._card import Card
from hemline_model._data import Dataset, find_problems
from hemline_model._data._folder import SUFFIXES
from hemline_model._data._text import printable
from hemline_model._errors import BadImage
from hemline_model._evaluate import evaluate
from hemline_model._pretrained import model_directory, pretrained
from hemline_model._serving import load
from hemline_model.cli._common import EXIT_CODES, one_line_errors
from hemline_model.cli._ensemble import ensemble
from hemline_model.cli._train import train

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train an image classifier on your own data, judge it and use it.",
    epilog=EXIT_CODES,
)
app.command()(train)
app.command()(ensemble)

_Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Model directory, or a shipped model by its name; fashion-mnist if not given.",
    ),
]


class _Split(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    ALL = "all"


@app.command()
@one_line_errors
def test(
    data: Annotated[str, typer.Argument(help="Data set to test on: a path or a known name.")],
    model: _Model = None,
    split: Annotated[
        _Split, typer.Option(help="Which part; all: for images it never saw.")
    ] = _Split.TEST,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Also write a self-contained HTML report to this file.")
    ] = None,
) -> None:
    """Measure how good a model is on labelled images."""
    directory = _directory(model)
    classifier = load(directory, threads=2)
    chosen = functions.chosen_split(classifier.card, data, split.value)
    result = evaluate(classifier, chosen)
    if report is not None:
        from hemline_model._report import write_report

        write_report(report, classifier.card, result, chosen, split.value)
    low, high = result.interval
    if as_json:
        per_class = {
            score.name: {
                "images": score.images,
                "recall": score.recall,
                "precision": score.precision,
            }
            for score in result.classes
        }
        document = {
            "images": result.images,
            "accuracy": result.accuracy,
            "interval": [low, high],
            "calibration_error": result.calibration_after,
            "classes": per_class,
            "confusion": result.confusion.tolist(),
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(
        f"accuracy {result.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}) on "
        f"{result.images:,} images, calibration error {result.calibration_after:.4f}"
    )
    longest = max(len(score.name) for score in result.classes)
    typer.echo(f"{'class':<{longest}}  images  recall  precision")
    for score in result.classes:
        recall, precision = (
            "     -" if share is None else f"{share:.4f}"
            for share in (score.recall, score.precision)
        )
        typer.echo(f"{score.name:<{longest}}  {score.images:>6,}  {recall}  {precision}")


@app.command()
@one_line_errors
def predict(
    images: Annotated[
        list[Path],
        typer.Argument(help="Image files (PNG, JPEG, WebP or .npy), or folders of them."),
    ],
    model: _Model = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object on a line for each image.")
    ] = False,
) -> None:
    """Say what is on images."""
    failed = 0
    for answer in functions.predict(_directory(model), _image_files(images)):
        failed += answer.error is not None
        if as_json:
            document = dataclasses.asdict(answer) | {"path": str(answer.path)}
            typer.echo(json.dumps({k: v for k, v in document.items() if v is not None}))
        elif answer.error is not None:
            typer.echo(f"error: {printable(str(answer.path))}: {answer.error}", err=True)
        else:
            typer.echo(
                f"{printable(str(answer.path))}  {answer.label_name}  {answer.confidence:.3f}"
            )
    if failed:
        raise typer.Exit(1)


def _directory(model: str | None) -> Path:
    return pretrained() if model is None else model_directory(model)


def _image_files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
        if not found:
            raise BadImage(f"{path} holds no images; expected {', '.join(sorted(SUFFIXES))} files")
        yield from found


@app.command()
@one_line_errors
def export(
    out: Annotated[Path, typer.Argument(help="New file for the graph, ending in .onnx.")],
    model: _Model = None,
) -> None:
    """Copy a model's serving graph (ONNX: uint8 images in, logits out) to a file."""
    typer.echo(functions.export(_directory(model), out))


@app.command()
@one_line_errors
def inspect(
    path: Annotated[
        str,
        typer.Argument(
            help="A model directory, the name of a shipped model (fashion-mnist, "
            "fashion-mnist-accurate), or a data set's path or name. A data set that is installed goes "
            "before the model of its name."
        ),
    ],
) -> None:
    """Show a model's card, or what a data set holds and what is wrong with it."""
    found = functions.inspect(path)
    if isinstance(found, Card):
        typer.echo(found.model_dump_json(indent=2))
        return
    _show_dataset(found)


def _show_dataset(data: Dataset) -> None:
    typer.echo(f"{data.name}: {len(data.classes)} classes, {data.input} images")
    for name, split in data.splits.items():
        counts = [int((split.labels == number).sum()) for number in range(len(data.classes))]
        typer.echo(f"{name}: {len(split):,} images, {min(counts):,} to {max(counts):,} a class")
    for problem in find_problems(data):
        typer.echo(f"problem: {problem}")
