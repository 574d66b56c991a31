"""The five functions most people need: train, test, predict, export, inspect."""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hemline_model._card import Card, read_card, read_verified
from hemline_model._contract import InputContract
from hemline_model._data import Dataset, Sample, Split, dataset, dataset_from
from hemline_model._data._assemble import join_splits
from hemline_model._decode import ImageArray, decode
from hemline_model._errors import BadDataset, BadImage, BadModel, BadSettings
from hemline_model._evaluate import Evaluation, evaluate
from hemline_model._pretrained import model_directory, pretrained, shipped_models
from hemline_model._serving import Classifier, load
from hemline_model._split import SplitName

if TYPE_CHECKING:
    from hemline_model.training import Builder, TrainSettings

__all__ = ["Answer", "chosen_split", "export", "inspect", "predict", "test", "train"]

AnyPath = str | os.PathLike[str]

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What one image file was taken for, or why it could not be looked at."""

    path: Path
    label: int | None
    label_name: str | None
    confidence: float | None
    error: str | None = None


def train(
    data: AnyPath | Dataset | Iterable[Sample | tuple[Any, ...]],
    out: AnyPath,
    *,
    settings: "TrainSettings | None" = None,
    contract: InputContract | None = None,
    build: "Builder | None" = None,
    on_step: Callable[[int, float], None] | None = None,
    on_note: Callable[[dict[str, float]], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Card:
    """Train a classifier on `data` and write it to the new directory `out`.

    `data` is a path, the name of a known data set, a data set, or samples (image, label) as
    `dataset_from` takes them. Called again after being killed, training goes on from the last
    checkpoint. `build` makes a network of your own: it takes the data set and the settings and
    returns a Keras model, uint8 images in, one logit a class out. `on_step(step, loss)` and
    `on_progress(fraction done)` are called after each step, `on_note` after each epoch with its
    step, epoch, elapsed_s, train_loss and validation_accuracy.

    Raises:
        BadDataset: the data cannot be used.
        BadSettings: a setting is wrong, or `out` holds something already.
        MissingExtra: Keras is not installed.
        Stopped: `should_stop` returned True.
    """
    from hemline_model import training

    chosen = settings or training.TrainSettings()
    if contract is None and chosen.weights and not isinstance(data, Dataset):
        contract = read_card(model_directory(chosen.weights)).input
    if isinstance(data, Dataset):
        opened = data
    elif isinstance(data, (str, os.PathLike)):
        opened = dataset(data, contract)
    else:
        opened = dataset_from(data, contract=contract)
    return training.train_to_directory(
        opened,
        Path(out),
        chosen,
        build=build,
        on_step=on_step,
        on_note=on_note,
        on_progress=on_progress,
        should_stop=should_stop,
    )


def test(
    model: AnyPath,
    data: AnyPath | Dataset,
    *,
    split: SplitName | Literal["all"] = "test",
    threads: int = 2,
) -> Evaluation:
    """Score the model in a directory on one split of a data set, or on "all" of one it never saw.

    Raises:
        BadModel: the model directory is incomplete or altered.
        BadDataset: the data cannot be used, has no such split, or has other classes.
    """
    classifier = load(model, threads)
    return evaluate(classifier, chosen_split(classifier.card, data, split))


def chosen_split(
    card: Card, data: AnyPath | Dataset, split: SplitName | Literal["all"] = "test"
) -> Split:
    """The samples that a model is to be scored on, checked to be what it takes."""
    whole = card.classes if split == "all" else None
    opened = data if isinstance(data, Dataset) else dataset(data, card.input, classes=whole)
    if opened.classes != card.classes:
        raise BadModel(
            f"the model knows the classes {', '.join(card.classes[:5])}, … ({len(card.classes)}); "
            f"the data has {', '.join(opened.classes[:5])}, … ({len(opened.classes)}): expected "
            "the same names in the same order; or all of a folder that it never saw (--split all)"
        )
    if opened.input != card.input:
        raise BadModel(f"the model takes {card.input} images; the data has {opened.input}")
    if split == "all":
        return join_splits(opened)
    if split not in opened.splits:
        raise BadDataset(
            f"{opened.name} has no {split} split; it has {', '.join(opened.splits)}: choose one of "
            "these, or all of a folder that the model never saw (--split all)"
        )
    return opened.split(split)


def predict(model: AnyPath, images: Iterable[AnyPath], *, threads: int = 2) -> Iterator[Answer]:
    """Classify image files, in order; one that cannot be decoded gets an answer with `error` set.

    Raises:
        BadModel: the model directory is incomplete or altered.
    """
    classifier = load(model, threads)
    waiting: list[Path] = []
    for image in images:
        waiting.append(Path(image))
        if len(waiting) == _BATCH:
            yield from _answer(classifier, waiting)
            waiting = []
    yield from _answer(classifier, waiting)


def export(model: AnyPath, out: AnyPath) -> Path:
    """Copy a model's serving graph, verified, to the new file `out` (ONNX).

    Raises:
        BadModel: the model directory is incomplete or altered.
        BadSettings: `out` exists or has another suffix than `.onnx`.
    """
    target = Path(out)
    if target.suffix != ".onnx":
        raise BadSettings(
            f"{target} does not end in .onnx; expected a file name for the ONNX graph"
        )
    if os.path.lexists(target):
        raise BadSettings(f"{target} exists already; expected a new file name")
    graph = read_verified(Path(model), read_card(Path(model)), "model.onnx")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not the tempfile module: its files are for their owner only, whatever the umask says.
    temporary = target.with_name(f".hemline-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(graph)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def inspect(path: AnyPath) -> Card | Dataset:
    """The card of a model directory (its files verified), or the data set at a path or name.

    A name that a data set and a shipped model share is that of the data set where it is installed.

    Raises:
        BadModel: a model directory that is incomplete or altered.
        BadDataset: neither a model nor a data set is there.
    """
    directory = Path(path)
    if not (directory / "card.json").is_file():
        try:
            return dataset(path)
        except BadDataset:
            if directory.exists() or os.fspath(path) not in shipped_models():
                raise
        directory = pretrained(os.fspath(path))
    card = read_card(directory)
    for name in card.files:
        read_verified(directory, card, name)
    return card


def _answer(classifier: Classifier, paths: list[Path]) -> Iterator[Answer]:
    decoded: dict[int, ImageArray] = {}
    errors: dict[int, str] = {}
    for number, path in enumerate(paths):
        try:
            decoded[number] = decode(path.read_bytes(), classifier.card.input)
        except OSError as error:
            errors[number] = error.strerror or "cannot be read"
        except BadImage as error:
            errors[number] = str(error)
    found = dict(zip(decoded, _classify(classifier, list(decoded.values())), strict=True))
    for number, path in enumerate(paths):
        if number in errors:
            yield Answer(path, None, None, None, errors[number])
        else:
            label, confidence = found[number]
            yield Answer(path, label, classifier.name_of(label), confidence)


def _classify(classifier: Classifier, images: list[ImageArray]) -> list[tuple[int, float]]:
    if not images:
        return []
    predictions = classifier.predict(np.stack(images))
    return list(zip(predictions.labels.tolist(), predictions.confidence.tolist(), strict=True))
