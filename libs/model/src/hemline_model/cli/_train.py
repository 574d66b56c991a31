"""`train`: from a data set to a model directory, with progress to look at."""

import dataclasses
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from hemline_model._card import read_card
from hemline_model._config import parse_duration, read_config, settings_from, take_switch, take_text
from hemline_model._contract import InputContract
from hemline_model._data import Dataset, Problem, dataset, find_problems
from hemline_model._errors import BadDataset, BadSettings, Stopped
from hemline_model._pretrained import model_directory
from hemline_model.cli._command import command_of
from hemline_model.cli._common import conclude, one_line_errors, stop_on_signals
from hemline_model.cli._progress import Watch

__all__ = ["train"]

_SHOWN_PROBLEMS = 5


@one_line_errors
def train(
    context: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(
            help="A folder with one sub-folder per class, a folder of IDX files, CIFAR batches or "
            ".npy arrays, an .npz, .npy or .csv file, or a known name such as fashion-mnist or "
            "fashion-mnist-sample."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="New directory for the model; model if not given."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with data, out, size, budget, strict, weights and any training setting; "
            "flags win over it."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Begin from this model directory, or shipped model, not from nothing."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            help="Passes over the training images; if not given 40, or as many as fit with --budget."
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            help="End early after so many epochs without a better validation accuracy; if not given a "
            "third of the epochs, and never with --budget."
        ),
    ] = None,
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
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Mirror images while training; wrong for letters and digits. If not given they are "
            "mirrored, but not those of (E)MNIST.",
        ),
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="Factor on the width of the network; 1 is the default.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Images per step; if not given 128, and fewer for fewer than 1,920 images."
        ),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help="Of the first weights, the order of images and how they are varied: the same one "
            "repeats a training up to rounding, but not with --budget, which makes as many steps as fit; "
            "0 if not given."
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Stop when anything is wrong with the data, before training."
        ),
    ] = False,
    builder: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Train a network of your own: a function of the data set and the settings that "
            "returns a keras.Model (uint8 images in, one logit a class out). MODULE is imported "
            "from the current folder or the environment, so its code runs.",
        ),
    ] = None,
) -> None:
    """Train a classifier on your images.

    Run the same command again after an interruption and it goes on where it was.
    """
    from hemline_model.training import TrainSettings, train_to_directory
    from hemline_model.training._run import check_out_dir

    accepted = ["data", "out", "size", "budget", "strict"]
    accepted += [field.name for field in dataclasses.fields(TrainSettings)]
    values = read_config(config, accepted) if config else {}
    where = str(config)
    configured = {key: take_text(values, key, where) for key in ("data", "out")}
    source = data or configured["data"]
    if not source:
        raise BadSettings("no data was named; expected `train DATA`, or `data:` in the config file")
    place = out or configured["out"] or "model"
    # A shell leaves the ~ in --out=~/model, and YAML has no home directory.
    target = Path(os.path.expanduser(place))  # noqa: PTH111 - Path.expanduser raises for ~nobody
    check_out_dir(target)
    contract = _parse_size(size or values.pop("size", None))
    values.pop("size", None)
    time_allowed = budget or values.pop("budget", None)
    values.pop("budget", None)
    strict = take_switch(values, "strict", where) or strict
    given: dict[str, Any] = {
        "epochs": epochs,
        "budget_s": parse_duration(time_allowed) if time_allowed is not None else None,
        "weights": weights,
        "patience": patience,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "seed": seed,
    }
    values |= {name: value for name, value in given.items() if value is not None}
    for section, name, value in (("augment", "flip", flip), ("network", "width", width)):
        rest = {} if values.get(section) is None else values[section]
        # Anything else than a mapping is named when the settings are made of the values.
        if value is not None and isinstance(rest, Mapping):
            values[section] = {**rest, name: value}
    settings = settings_from(TrainSettings, values, str(config or "settings"))
    build = _load_builder(builder) if builder else None
    if contract is None and settings.weights:
        contract = read_card(model_directory(settings.weights)).input
    console = Console(stderr=True)
    # Text, because a name may hold what rich takes for a style.
    with console.status(Text(f"reading {source}")) as status:
        opened = dataset(
            source,
            contract,
            on_read=lambda done, total: status.update(
                Text(f"reading {source}: {done:,} of {total:,}")
            ),
        )
        problems = find_problems(opened)
    _introduce(console, opened, problems)
    if strict and problems:
        raise BadDataset(
            f"{source} has {len(problems):,} problem{'s' if len(problems) > 1 else ''}, listed above; "
            "mend them, or leave out --strict"
        )
    with stop_on_signals() as stop, Watch(console) as watch:
        try:
            card = train_to_directory(
                dataclasses.replace(opened, problems=problems),
                target,
                settings,
                build=build,
                command=command_of(context),
                on_step=watch.on_step,
                on_note=watch.on_note,
                on_progress=watch.on_progress,
                should_stop=stop,
            )
        except Stopped as error:
            typer.echo(f"{error}: run the same command again", err=True)
            raise typer.Exit(stop.exit_code) from error
    conclude(console, card)
    typer.echo(target)


def _introduce(console: Console, data: Dataset, problems: Sequence[Problem]) -> None:
    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    console.print(
        f"{data.name}: {len(data.classes)} classes, {data.input} images, {counts}",
        highlight=False,
        markup=False,
    )
    for problem in problems[:_SHOWN_PROBLEMS]:
        console.print(f"  {problem}", highlight=False, markup=False, soft_wrap=True)
    hidden = len(problems) - _SHOWN_PROBLEMS
    if hidden > 0:
        console.print(f"  and {hidden:,} more (`hemline inspect` lists them all)", highlight=False)


def _load_builder(spec: str) -> Callable[..., Any]:
    module, _, function = spec.partition(":")
    if not module or not function:
        raise BadSettings(
            f"builder is {spec!r}; expected MODULE:FUNCTION such as my_network:build, for a function "
            "build in my_network.py"
        )
    # A console script does not look for modules where it is run.
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise BadSettings(f"builder is {spec!r}: {error}") from error
    except Exception as error:  # a module raises whatever it likes while it is imported
        reason = f"{type(error).__name__}: {error}".split("\n", 1)[0][:200]
        raise BadSettings(f"builder is {spec!r}, which cannot be imported: {reason}") from error
    finally:
        sys.path.pop(0)
    if not callable(found):
        raise BadSettings(f"builder is {spec!r}, a {type(found).__name__}; expected a function")
    return found  # type: ignore[no-any-return]


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
