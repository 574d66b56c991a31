"""One whole training, from a data set to a model directory with its card, log and report."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hemline_model._card import CARD_NAME, Card, write_card
from hemline_model._data import Dataset, Split
from hemline_model._data._assemble import choose_images
from hemline_model._data._stored import JoinedImages
from hemline_model._errors import BadSettings
from hemline_model._evaluate import Evaluation, evaluate, score
from hemline_model._pretrained import model_directory
from hemline_model._report import write_report
from hemline_model._serving import INT8_GRAPH, load
from hemline_model.training._builder import check_network
from hemline_model.training._calibrate import Logits, fit_temperature, predict_logits
from hemline_model.training._checkpoint import Position
from hemline_model.training._export import check_converter, check_export, export
from hemline_model.training._fit import Builder, default_network, fingerprint_of, fit
from hemline_model.training._keras import keras
from hemline_model.training._network import count_multiply_adds
from hemline_model.training._settings import TrainSettings
from hemline_model.training._weights import load_base

__all__ = ["check_out_dir", "publish", "train_to_directory", "working_directory"]

_COMPARED = 256
_COMPARED_INT8 = 5_000


def working_directory(out_dir: Path) -> Path:
    """Where the checkpoint and log of a training lie until its model directory appears."""
    return beside(out_dir, "{}.training")


def beside(out_dir: Path, pattern: str) -> Path:
    """A path beside a directory, its name that of the directory put into `pattern`."""
    # "." and "x/.." have no name to put anything into, what they stand for has.
    named = out_dir.resolve() if out_dir.name in {"", ".."} else out_dir
    return named.with_name(pattern.format(named.name))


def train_to_directory(
    data: Dataset,
    out_dir: Path,
    settings: TrainSettings,
    *,
    build: Builder | None = None,
    command: str | None = None,
    on_step: Callable[[int, float], None] | None = None,
    on_note: Callable[[dict[str, float]], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Card:
    """Train, calibrate on validation, look at the test split once, export.

    A run that was stopped or killed resumes from `<out_dir>.training` when called again. `command`
    is what the card is to say that the model was made by.

    Raises:
        BadSettings: `out_dir` holds something already, the checkpoint belongs to other settings, or
            the network that `build` made cannot be trained on the data or served.
        MissingExtra: what exports a model of Keras's backend is not installed.
        Stopped: `should_stop` returned True.
    """
    check_out_dir(out_dir)
    check_converter()
    # Of the directory begun from its name only: a card is passed on, the folders here are not.
    source = model_directory(settings.weights).resolve().name if settings.weights else None
    if build is not None:
        network = build(data, settings)
        check_network(network, data)
        check_export(network)
    elif keras.backend.backend() != "tensorflow":
        # Exported from TensorFlow every day; from other backends it depends on what is installed.
        base = load_base(settings.weights) if settings.weights else None
        check_export(default_network(data, settings, base))
    work = working_directory(out_dir)
    work.mkdir(parents=True, exist_ok=True)
    fitted = fit(
        data,
        settings,
        build=build,
        checkpoint_dir=work,
        on_step=on_step,
        on_note=on_note,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    parameters = {
        **dataclasses.asdict(settings),
        "weights": source,
        "images_per_step": settings.images_per_step(len(data.split("train"))),
        "steps": fitted.position.step,
        "elapsed_s": round(fitted.position.elapsed_s, 1),
        "num_parameters": int(fitted.model.count_params()),
        "multiply_adds": count_multiply_adds(fitted.model),
        **({"command": command} if command else {}),
    }
    return publish(fitted.model, data, parameters, out_dir, work=work, course=fitted.position)


def check_out_dir(out_dir: Path) -> None:
    """Check that there is room for a model directory.

    Raises:
        BadSettings: `out_dir` holds something already, or is a link to nothing.
        PermissionError: it is there, empty, and nothing can be written into it.
    """
    if not out_dir.exists():
        if out_dir.is_symlink():
            raise BadSettings(
                f"{out_dir} is a link to nothing; expected a new directory for the model"
            )
        return
    if not out_dir.is_dir() or any(out_dir.iterdir()):
        raise BadSettings(f"{out_dir} exists already; expected a new directory for the model")
    if not os.access(out_dir, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(out_dir))


def publish(
    model: Any,
    data: Dataset,
    parameters: dict[str, Any],
    out_dir: Path,
    *,
    work: Path,
    course: Position | None = None,
) -> Card:
    """Calibrate on validation, look at the test split once, export, report; complete or not at all.

    `work` is where it is made, and is gone in the end.

    Raises:
        ModelError: what would be served does not answer as the model does.
        BadSettings: something was put into `out_dir` meanwhile.
    """
    result = _judge(model, data)
    fields = {
        "name": data.name,
        "classes": data.classes,
        "temperature": result.temperature,
        "metrics": result.metrics(),
        "parameters": parameters,
        "data": _describe(data),
    }
    model_dir = work / "model"
    shutil.rmtree(model_dir, ignore_errors=True)
    some = np.asarray(data.split("validation").images[:_COMPARED])
    card = export(model, fields, model_dir, samples=some, int8=images_for_int8(data))
    if (test := data.splits.get("test")) and INT8_GRAPH in card.files:
        # For the record, after it was decided on others: this is what most processors will serve.
        served = evaluate(load(model_dir, 2, precision="int8"), test).accuracy
        metrics = {**card.metrics, "test_accuracy_int8": round(served, 6)}
        card = card.model_copy(update={"metrics": metrics})
        write_card(card, model_dir)
    if course is not None:
        _write_log(course, card.metrics, model_dir / "training.jsonl")
    shown: Literal["test", "validation"] = "validation" if result.test is None else "test"
    write_report(
        model_dir / "report.html",
        card,
        result.test or result.validation,
        data.split(shown),
        shown,
        course=course,
        problems=data.problems,
    )
    _place(model_dir, out_dir)
    shutil.rmtree(work)
    return card


def _place(model_dir: Path, out_dir: Path) -> None:
    """Put a finished model directory where it was asked for."""
    check_out_dir(out_dir)
    if not out_dir.exists():
        model_dir.rename(out_dir)
        return
    # A mounted volume, a link or the current directory cannot be replaced, only filled. A model
    # directory is one when it has its card, which therefore comes last and whole.
    card = model_dir / CARD_NAME
    for path in sorted(model_dir.iterdir(), key=lambda path: path == card):
        temporary = out_dir / f".{path.name}.part"
        shutil.copyfile(path, temporary)
        temporary.replace(out_dir / path.name)


def images_for_int8(data: Dataset) -> Split:
    """The validation split and, where that holds fewer than 5,000 images, some of the train split.

    Images that were learned from say less about what 8 bits cost, because the model is surer of
    them; but they tell a graph that answers otherwise from one that does not, which a handful of
    images cannot. At 5,000 it is the 0.3 points that decide, unless one image in 20 turns: of 1,000
    a whole point may be lost by chance. They are spread over the split, which may be sorted by class.
    """
    validation, train = data.split("validation"), data.split("train")
    missing = min(_COMPARED_INT8 - len(validation), len(train))
    if missing <= 0:
        return validation
    rows = np.linspace(0, len(train) - 1, missing).astype(np.int64)
    return Split(
        [*validation.ids, *(train.ids[row] for row in rows.tolist())],
        np.concatenate([validation.labels, train.labels[rows]]),
        JoinedImages([validation.images, choose_images(train.images, rows)]),
    )


@dataclass(frozen=True, slots=True)
class _Judgement:
    temperature: float
    validation: Evaluation
    test: Evaluation | None

    def metrics(self) -> dict[str, float]:
        found = {
            "validation_accuracy": self.validation.accuracy,
            "validation_calibration_error": self.validation.calibration_after,
        }
        if self.test is not None:
            found["test_accuracy"] = self.test.accuracy
            found["test_calibration_error_before"] = self.test.calibration_before
            found["test_calibration_error"] = self.test.calibration_after
        return {name: round(value, 6) for name, value in found.items()}


def _judge(model: Any, data: Dataset) -> _Judgement:
    def judge(split: Split, logits: Logits) -> Evaluation:
        return score(logits, split, data.classes, temperature)

    validation = data.split("validation")
    logits = predict_logits(model, validation.images)
    temperature = fit_temperature(logits, validation.labels)
    test = data.splits.get("test")
    return _Judgement(
        temperature,
        judge(validation, logits),
        judge(test, predict_logits(model, test.images)) if test else None,
    )


def _describe(data: Dataset) -> dict[str, Any]:
    return {
        "name": data.name,
        "images": {name: len(split) for name, split in data.splits.items()},
        "fingerprint": {name: fingerprint_of(split) for name, split in data.splits.items()},
        "pixels": {name: _hash_pixels(split) for name, split in data.splits.items()},
        "problems": len(data.problems),
    }


def _hash_pixels(split: Split) -> str:
    """SHA-256 over the pixels of a split, in order."""
    digest = hashlib.sha256()
    for images, _ in split.batches():
        digest.update(np.ascontiguousarray(images).data)
    return digest.hexdigest()


def _write_log(position: Position, metrics: Mapping[str, float | None], path: Path) -> None:
    lines = [*position.notes, {"step": position.step, **metrics}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
