"""Writing predictions fast: the bytes that ``hemline_api.events.Prediction.to_json`` would write, without pydantic."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt
import orjson

__all__ = ["DECIMALS", "encode_predictions", "fractions"]

DECIMALS = 6
"""Decimals kept of a probability: more are noise, and half of the message."""


def fractions(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The same numbers rounded for JSON, all in [0, 1] whatever the rounding of float32 did before."""
    return np.clip(values.astype(np.float64).round(DECIMALS), 0.0, 1.0)


def encode_predictions(
    ids: Sequence[str],
    labels: Sequence[int],
    names: Sequence[str],
    confidence: Sequence[float],
    probabilities: Sequence[Sequence[float]] | None,
    *,
    model_version: int,
    received_at: datetime,
    predicted_at: datetime,
) -> list[bytes]:
    """One JSON body per image.

    Args:
        ids: of the images (N).
        labels: class index of each (N).
        names: of all classes (K).
        confidence: of each answer (N), already rounded.
        probabilities: N x K, or None to leave them out.
        model_version: the version that answered.
        received_at: when the batch was taken from the broker; aware, UTC.
        predicted_at: when the model had answered; aware, UTC.
    """
    bodies = []
    for at, (image_id, label, sure) in enumerate(zip(ids, labels, confidence, strict=True)):
        body = {"id": image_id, "label": label, "label_name": names[label], "confidence": sure}
        if probabilities is not None:
            body["probabilities"] = probabilities[at]
        body["model_version"] = model_version
        body["received_at"] = received_at
        body["predicted_at"] = predicted_at
        bodies.append(orjson.dumps(body, option=orjson.OPT_UTC_Z))
    return bodies
