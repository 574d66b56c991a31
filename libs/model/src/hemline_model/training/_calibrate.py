"""Logits of a Keras model, and the temperature that calibrates them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hemline_model._data import Images
from hemline_model._data._types import comfortable_batch

__all__ = ["Logits", "fit_temperature", "predict_logits"]

Logits = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

_PRIOR = 4.0


def predict_logits(model: Any, images: Images) -> Logits:
    """Logits float32 (N, K) of a Keras model for N uint8 images, at most 256 at a time."""
    parts = []
    size = comfortable_batch(images)
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        missing = size - len(batch) if start else 0
        if missing:
            # One batch size means one compiled graph.
            batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), np.uint8)])
        logits = np.array(model.predict_on_batch(batch), np.float32)
        parts.append(logits[: len(logits) - missing])
    return np.concatenate(parts)


def fit_temperature(logits: Logits, labels: Labels) -> float:
    """The temperature T that makes softmax(logits / T) most probable, given N labels and a prior.

    Guo et al. 2017, "On calibration of modern neural networks", with a prior added: where all of a
    few images are right, the likelihood alone grows for ever as T falls to 0, and nine images would
    make a model sure of everything. Before the labels are looked at, 1/T is taken to have a gamma
    distribution of mean 1 and standard deviation 0.5: most networks need a T between 0.5 and 3. It
    counts as much as a handful of images do, and among thousands nothing is seen of it.

    Both the loss and the prior are convex in 1/T, so their sum has one minimum; it is searched in
    log T, between 0.05 and 20, by golden section.
    """

    def loss(log_temperature: float) -> float:
        sharpness = np.exp(-log_temperature)
        scaled = logits.astype(np.float64) * sharpness
        top = scaled.max(axis=1)
        total = np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top
        likelihood = float((total - scaled[np.arange(len(labels)), labels]).sum())
        # The gamma density of shape and rate 4, over log T.
        return likelihood + _PRIOR * float(sharpness + log_temperature)

    ratio = (np.sqrt(5) - 1) / 2
    low, high = np.log(0.05), np.log(20.0)
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    loss_left, loss_right = loss(left), loss(right)
    while high - low > 1e-4:
        if loss_left < loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - ratio * (high - low)
            loss_left = loss(left)
        else:
            low, left, loss_left = left, right, loss_right
            right = low + ratio * (high - low)
            loss_right = loss(right)
    return float(np.exp((low + high) / 2))
