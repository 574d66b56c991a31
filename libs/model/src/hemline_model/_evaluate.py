"""How good a model is on labelled images; no Keras needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline_model._data import Split
from hemline_model._serving import Classifier, softmax

__all__ = ["ClassScore", "Evaluation", "Mistake", "calibration_error", "evaluate", "score"]

Labels = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]

_BINS = 15
_Z95 = 1.959964


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: how many images it has, and the fractions found and rightly named, 0 to 1.

    `recall` is None for a class without images, `precision` for one that no image was taken for.
    """

    name: str
    images: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """An image taken for another class, and how sure the model was (0 to 1)."""

    row: int
    id: str
    truth: str
    predicted: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores on N images. Fractions are 0 to 1; `interval` is the 95 % Wilson interval.

    `confusion` int64 (K, K): rows are true classes, columns predicted ones. `bins` holds
    (mean confidence, accuracy, images) per calibration bin, after the temperature.
    """

    images: int
    accuracy: float
    interval: tuple[float, float]
    classes: Sequence[ClassScore]
    confusion: Labels
    calibration_before: float
    calibration_after: float
    bins: Sequence[tuple[float, float, int]]
    mistakes: Sequence[Mistake]


def evaluate(classifier: Classifier, split: Split) -> Evaluation:
    """Evaluate a served model on a split."""
    parts = [classifier.logits(images) for images, _ in split.batches()]
    card = classifier.card
    return score(np.concatenate(parts), split, card.classes, card.temperature)


def score(logits: Logits, split: Split, classes: Sequence[str], temperature: float) -> Evaluation:
    """Score logits float32 (N, K) of a split's N images."""
    labels, count = split.labels, len(split)
    probabilities = softmax(logits / np.float32(temperature))
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(count), predicted]
    confusion = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    right = int(np.trace(confusion))
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return Evaluation(
        images=count,
        accuracy=right / count,
        interval=_wilson(right, count),
        classes=_class_scores(confusion, classes),
        confusion=confusion,
        calibration_before=calibration_error(logits, labels),
        calibration_after=calibration_error(logits, labels, temperature),
        bins=_bins(confidence, predicted == labels),
        mistakes=[
            Mistake(
                row,
                split.ids[row],
                classes[int(labels[row])],
                classes[int(predicted[row])],
                float(confidence[row]),
            )
            for row in worst.tolist()
        ],
    )


def calibration_error(logits: Logits, labels: Labels, temperature: float = 1.0) -> float:
    """Expected calibration error over 15 equal bins of confidence (Naeini et al. 2015), 0 to 1."""
    probabilities = softmax(logits / np.float32(temperature))
    bins = _bins(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels)
    return sum(abs(mean - right) * images for mean, right, images in bins) / len(labels)


def _bins(
    confidence: npt.NDArray[np.float32], right: npt.NDArray[np.bool_]
) -> list[tuple[float, float, int]]:
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    return [
        (
            float(confidence[place == number].mean()),
            float(right[place == number].mean()),
            int((place == number).sum()),
        )
        for number in np.unique(place).tolist()
    ]


def _class_scores(confusion: Labels, classes: Sequence[str]) -> list[ClassScore]:
    right, truth, named = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    return [
        ClassScore(
            name,
            int(truth[number]),
            float(right[number] / truth[number]) if truth[number] else None,
            float(right[number] / named[number]) if named[number] else None,
        )
        for number, name in enumerate(classes)
    ]


def _wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a fraction (Wilson 1927)."""
    share, square = right / count, _Z95**2 / count
    centre = (share + square / 2) / (1 + square)
    half = _Z95 / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    # Rounding leads out of the range where none or all are right.
    return max(0.0, centre - half), min(1.0, centre + half)
