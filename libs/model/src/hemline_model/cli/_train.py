"""`train`: from a data set to a model directory, with progress to look at."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hemline_model._config import parse_duration, read_config, settings_from
from hemline_model._contract import InputContract
from hemline_model._data import Dataset, Problem, dataset, find_problems
from hemline_model._errors import BadDataset, BadSettings
from hemline_model._functions import train as train_function
from hemline_model.cli._common import one_line_errors, stop_on_signals

__all__ = ["train"]

_SHOWN_PROBLEMS = 5


@one_line_errors
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            help="A folder with one sub-folder per class, a folder of IDX files, or a "
            "known name such as fashion-mnist or fashion-mnist-sample."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New directory for the model. [default: model]"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with data, out, size, budget and any training setting; flags "
            "win over it."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Train as well as possible in this time: 90s, 10m, 2h.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Shape to bring images to, HEIGHTxWIDTHxCHANNELS; chosen from the images "
            "when not given."
        ),
    ] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror images while training.")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Factor on the width of the network; 1 is the default.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Repeats a training exactly.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop when anything is wrong with the data.")
    ] = False,
) -> None:
    """Train a classifier on your images.

    Run the same command again after an interruption and it goes on where it was.
    """
    from hemline_model.training import TrainSettings

    accepted = ["data", "out", "size", "budget"]
    accepted += [field.name for field in dataclasses.fields(TrainSettings)]
    values = read_config(config, accepted) if config else {}
    source = data or values.pop("data", None)
    if not source:
        raise BadSettings("no data was named; expected `train DATA`, or `data:` in the config file")
    values.pop("data", None)
    target = out or Path(values.pop("out", "model"))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadSettings(f"{target} exists already; expected a new directory for the model")
    values.pop("out", None)
    contract = _parse_size(size or values.pop("size", None))
    values.pop("size", None)
    time_allowed = budget or values.pop("budget", None)
    values.pop("budget", None)
    given: dict[str, Any] = {
        "epochs": epochs,
        "budget_s": parse_duration(time_allowed) if time_allowed is not None else None,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    values |= {name: value for name, value in given.items() if value is not None}
    for section, name, value in (("augment", "flip", flip), ("network", "width", width)):
        if value is not None:
            values[section] = {**values.get(section, {}), name: value}
    settings = settings_from(TrainSettings, values, str(config or "settings"))
    console = Console(stderr=True)
    opened = dataset(source, contract)
    problems = _introduce(console, opened)
    if strict and problems:
        raise BadDataset(
            f"{source} has {len(problems):,} problems, listed above; mend them, or leave out --strict"
        )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0%}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=console, disable=not console.is_terminal)
    with stop_on_signals() as should_stop, progress:
        watch = _Watch(console, progress, opened, settings)
        card = train_function(
            opened,
            target,
            settings=settings,
            on_step=watch.on_step,
            on_note=watch.on_note,
            should_stop=should_stop,
        )
    for name, value in card.metrics.items():
        console.print(f"{name.replace('_', ' ')}: {value:.4f}", highlight=False)
    typer.echo(target)


class _Watch:
    """Shows how far a training is: by steps or by time, whichever ends it first."""

    def __init__(self, console: Console, progress: Progress, data: Dataset, settings: Any) -> None:
        self._console = console
        self._progress = progress
        self._settings = settings
        self._task = progress.add_task("training", total=1.0)
        per_epoch = max(1, len(data.split("train")) // settings.batch_size)
        self._steps = settings.epochs * per_epoch

    def on_step(self, step: int, loss: float) -> None:
        done = step / self._steps
        if self._settings.budget_s:
            elapsed = self._progress.tasks[0].elapsed or 0.0
            done = max(done, min(1.0, elapsed / self._settings.budget_s))
        self._progress.update(self._task, completed=done, description=f"loss {loss:.3f}")

    def on_note(self, note: dict[str, float]) -> None:
        self._console.print(
            f"epoch {note['epoch']:.0f}: loss {note['train_loss']:.4f}, validation accuracy "
            f"{note['validation_accuracy']:.4f}, {note['elapsed_s']:.0f} s",
            highlight=False,
        )


def _introduce(console: Console, data: Dataset) -> list[Problem]:
    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    console.print(
        f"{data.name}: {len(data.classes)} classes, {data.input} images, {counts}", highlight=False
    )
    problems = find_problems(data)
    for problem in problems[:_SHOWN_PROBLEMS]:
        console.print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
    hidden = len(problems) - _SHOWN_PROBLEMS
    if hidden > 0:
        console.print(f"  and {hidden:,} more (`hemline inspect` lists them all)", highlight=False)
    return problems


def _parse_size(text: str | None) -> InputContract | None:
    if text is None:
        return None
    try:
        height, width, channels = (int(part) for part in str(text).lower().split("x"))
        return InputContract.model_validate(
            {"height": height, "width": width, "channels": channels}
        )
    except ValueError as error:
        raise BadSettings(
            f"size is {text!r}; expected HEIGHTxWIDTHxCHANNELS such as 64x64x3 (sides from 8 to "
            "1024, 1 or 3 channels)"
        ) from error
