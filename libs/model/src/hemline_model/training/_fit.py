"""Training a network from nothing on a data set."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemline_model._contract import InputContract
from hemline_model._data import Dataset, Images, Split
from hemline_model.training._builder import check_network
from hemline_model.training._calibrate import predict_logits
from hemline_model.training._checkpoint import Position
from hemline_model.training._keras import keras
from hemline_model.training._loop import Batch, Plan, run_plan
from hemline_model.training._network import build_network
from hemline_model.training._precision import computing_in, training_precision
from hemline_model.training._settings import TrainSettings
from hemline_model.training._weights import Base, load_base

__all__ = [
    "Builder",
    "Fit",
    "class_weights",
    "default_network",
    "fingerprint_of",
    "fit",
    "shuffled_batches",
]

Builder = Callable[[Dataset, TrainSettings], Any]
"""Makes an untrained Keras model for a data set: uint8 images in, one logit a class out."""

_MEASURED_IMAGES, _MEASURED_BYTES = 5_000, 16 << 20
_SKEWED = 3.0


@dataclass(frozen=True, slots=True)
class Fit:
    """A trained model and the way it went: the loss of each step, accuracies now and then."""

    model: Any
    position: Position


def fit(
    data: Dataset,
    settings: TrainSettings,
    *,
    build: Builder | None = None,
    checkpoint_dir: Path | None = None,
    on_step: Callable[[int, float], None] | None = None,
    on_note: Callable[[dict[str, float]], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Fit:
    """Train on the train split of `data`, looking at the validation split after each epoch.

    Raises:
        Stopped: `should_stop` returned True; asked before each step.
        BadSettings: the checkpoint belongs to other settings or other data, or the network that
            `build` made does not fit the data.
        BadModel: there is no model at `settings.weights`.
    """
    train, validation = data.split("train"), data.split("validation")
    keras.utils.set_random_seed(settings.seed)
    precision = training_precision(settings.precision, own_network=build is None)
    base = load_base(settings.weights) if settings.weights else None

    def builder(data: Dataset, settings: TrainSettings) -> Any:
        return build(data, settings) if build else default_network(data, settings, base)

    with computing_in(precision):
        model = builder(data, settings)
    if build is not None:
        check_network(model, data)
    if base is not None:
        base.give_weights(model, data)
    steps_per_epoch = max(1, len(train) // settings.images_per_step(len(train)))
    plan = Plan(
        steps=settings.most_epochs * steps_per_epoch,
        learning_rate=settings.learning_rate,
        warm_up=settings.warm_up,
        weight_decay=settings.weight_decay,
        optimizer=settings.optimizer,
        label_smoothing=settings.label_smoothing,
        averaging=settings.averaging,
        checkpoint_every_s=settings.checkpoint_every_s,
        budget_s=settings.budget_s,
        patience=settings.patience_epochs,
        identity=_identity(train, settings),
    )

    def evaluate(position: Position) -> dict[str, float]:
        logits = predict_logits(model, validation.images)
        note = {
            "step": float(position.step),
            "epoch": position.step / steps_per_epoch,
            "elapsed_s": round(position.elapsed_s, 1),
            "train_loss": float(np.mean(position.losses[-steps_per_epoch:])),
            "validation_accuracy": float((logits.argmax(axis=1) == validation.labels).mean()),
        }
        if on_note is not None:
            on_note(note)
        return note

    position = run_plan(
        model,
        plan,
        lambda step: shuffled_batches(train, settings, len(data.classes), step),
        checkpoint_dir=checkpoint_dir,
        on_step=on_step,
        on_progress=on_progress,
        should_stop=should_stop,
        evaluate=evaluate,
        evaluate_every=steps_per_epoch,
    )
    if precision != "float32":
        # What is served and fine-tuned later must not depend on the processor of this training.
        trained, model = model, builder(data, settings)
        model.set_weights(trained.get_weights())
    return Fit(model, position)


def default_network(data: Dataset, settings: TrainSettings, base: Base | None = None) -> Any:
    """The network of this library, normalised by some of the train split, or as `base` is."""
    network, augment = settings.network, settings.augment
    known = None
    if base is not None:
        network, known = base.network(network), base.normalization()
    mean, variance = known or _measure(data.split("train").images, data.input)
    if augment.flip is None:
        augment = dataclasses.replace(augment, flip=data.mirrored)
    return build_network(
        data.input,
        len(data.classes),
        mean=mean,
        variance=variance,
        settings=network,
        augment=augment,
        seed=settings.seed,
    )


def _measure(images: Images, contract: InputContract) -> tuple[list[float], list[float]]:
    """Mean and variance of each channel over images spread evenly, a bounded number of pixels."""
    count = min(len(images), _MEASURED_IMAGES, max(1, _MEASURED_BYTES // contract.num_bytes))
    rows = np.linspace(0, len(images) - 1, count).astype(np.int64)
    pixels = np.asarray(images[rows], np.float32)
    return pixels.mean(axis=(0, 1, 2)).tolist(), (pixels.var(axis=(0, 1, 2)) + 1.0).tolist()


def shuffled_batches(
    split: Split, settings: TrainSettings, num_classes: int, step: int
) -> Iterator[Batch]:
    """Batches without end from `step` on: a pure function of the split, the seed and the step."""
    size = settings.images_per_step(len(split))
    per_epoch = len(split) // size
    weights = class_weights(split.labels, num_classes)
    while True:
        epoch, place = divmod(step, per_epoch)
        order = np.random.default_rng([settings.seed, epoch]).permutation(len(split))
        for start in range(place * size, per_epoch * size, size):
            # Sorted rows read a memory-mapped or lazily decoded split in file order.
            rows = np.sort(order[start : start + size])
            images, labels = split.images[rows], split.labels[rows]
            yield (images, labels) if weights is None else (images, labels, weights[labels])
            step += 1


def class_weights(
    labels: npt.NDArray[np.int64], num_classes: int
) -> npt.NDArray[np.float32] | None:
    """Weight of each class, mean 1 over the samples, when the largest outnumbers the smallest by 3.

    The square root of the inverse frequency: rare classes are heard without drowning the others.
    """
    counts = np.bincount(labels, minlength=num_classes).astype(np.float64)
    present = counts[counts > 0]
    if present.max() < _SKEWED * present.min():
        return None
    weights = 1 / np.sqrt(np.maximum(counts, 1))
    weights *= counts.sum() / (weights * counts).sum()
    return weights.astype(np.float32)


def fingerprint_of(split: Split) -> str:
    """SHA-256 over the ids and labels of a split."""
    digest = hashlib.sha256("\n".join(split.ids).encode())
    digest.update(np.ascontiguousarray(split.labels).tobytes())
    return digest.hexdigest()


def _identity(train: Split, settings: TrainSettings) -> str:
    text = json.dumps(dataclasses.asdict(settings), sort_keys=True) + fingerprint_of(train)
    return hashlib.sha256(text.encode()).hexdigest()
