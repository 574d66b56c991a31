"""The serving graph with 8-bit weights and activations, checked against the one it came from."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from hemline_model._data import Split
from hemline_model._data._types import comfortable_batch

__all__ = ["accuracy_of_graph", "quantize"]

_CALIBRATED, _BATCH = 1024, 128


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, split: Split, input_name: str) -> None:
        size = min(_BATCH, comfortable_batch(split.images))
        self._batches: Iterator[dict[str, Any]] = (
            {input_name: np.ascontiguousarray(split.images[start : start + size])}
            for start in range(0, min(_CALIBRATED, len(split)), size)
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch to measure ranges on, None at the end."""
        return next(self._batches, None)


def quantize(source: Path, target: Path, split: Split) -> None:
    """Write an 8-bit version of the graph at `source`: ranges measured on the split's first images.

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


def accuracy_of_graph(path: Path, split: Split) -> float:
    """Fraction of a split's images that the graph at `path` names rightly."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    right = 0
    for images, labels in split.batches():
        logits = session.run(None, {name: np.ascontiguousarray(images)})[0]
        right += int((logits.argmax(axis=1) == labels).sum())
    return right / max(1, len(split))


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
