"""The serving graph with 8-bit weights and activations, checked against the one it came from."""

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from hemline_model._data import Split
from hemline_model._data._types import comfortable_batch

__all__ = ["Comparison", "answers_of_graph", "quantize"]

_CALIBRATED, _BATCH = 1024, 128
_LOSS = 0.003

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an 8-bit graph and the one it was made from name the same labelled images.

    `alike` images get the same name from both; `lost` ones are named rightly by the original alone,
    `gained` ones by the 8-bit graph alone.
    """

    images: int
    alike: int
    lost: int
    gained: int

    @classmethod
    def of(cls, original: Labels, quantized: Labels, truth: Labels) -> "Comparison":
        """Compare answers int64 (N,) with one another and with the truth (N,)."""
        right, still = original == truth, quantized == truth
        return cls(
            len(truth),
            int((original == quantized).sum()),
            int((right & ~still).sum()),
            int((still & ~right).sum()),
        )

    @property
    def change(self) -> float:
        """By how much the fraction of images that are named rightly changes; negative is a loss."""
        return (self.gained - self.lost) / max(1, self.images)

    @property
    def acceptable(self) -> bool:
        """Whether the 8-bit graph loses no more than 0.3 points of accuracy.

        Only images that turn from right to wrong, or back, say anything about that, so they are
        counted: a loss is one that is beyond 0.3 points of all images and beyond its own standard
        error, the square root of the number that turned (McNemar 1947). Among thousands of images the
        0.3 points decide; among few, where they are less than one image, one that turned wrong says
        nothing, and two do.
        """
        loss = self.lost - self.gained
        return loss <= max(_LOSS * self.images, math.sqrt(self.lost + self.gained))


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, split: Split, input_name: str) -> None:
        size = min(_BATCH, comfortable_batch(split.images))
        # Spread over the split: one that was read from folders is sorted by class.
        rows = np.linspace(0, len(split) - 1, min(_CALIBRATED, len(split))).astype(np.int64)
        self._batches: Iterator[dict[str, Any]] = (
            {input_name: np.ascontiguousarray(split.images[rows[start : start + size]])}
            for start in range(0, len(rows), size)
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch to measure ranges on, None at the end."""
        return next(self._batches, None)


def quantize(source: Path, target: Path, split: Split) -> None:
    """Write an 8-bit version of the graph at `source`: ranges measured on 1,024 images of the split.

    Weights get a scale for each channel; static ranges, so that nothing is measured while serving.
    """
    session = ort.InferenceSession(str(source), providers=["CPUExecutionProvider"])
    with _calm():
        quantize_static(
            source,
            target,
            _Images(split, session.get_inputs()[0].name),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def answers_of_graph(path: Path, split: Split) -> Labels:
    """What the graph at `path` takes a split's N images for: int64 (N,)."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    answers = [
        session.run(None, {name: np.ascontiguousarray(images)})[0].argmax(axis=1)
        for images, _ in split.batches()
    ]
    found: Labels = np.concatenate(answers).astype(np.int64)
    return found


@contextlib.contextmanager
def _calm() -> Iterator[None]:
    """The quantiser recommends a preparation that export has done already; keep that from people."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
