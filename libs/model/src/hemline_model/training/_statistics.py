"""The statistics of batch normalisations: those kept belong to other weights than the averaged ones."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from hemline_model.training._builder import flatten_layers
from hemline_model.training._keras import keras

__all__ = ["settle", "settled"]


def settle(model: Any, batches: Iterator[Any], count: int) -> None:
    """Measure the batch statistics anew, for the weights that the model has now, on `count` batches.

    `batches` yields tuples whose first item are uint8 images (N, height, width, channels).
    """
    normalisations = [
        layer
        for layer in flatten_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if not normalisations:
        return
    kept = [layer.momentum for layer in normalisations]
    try:
        for number, batch in zip(range(count), batches, strict=False):
            for layer in normalisations:
                layer.momentum = number / (number + 1)
            model(batch[0], training=True)
    finally:
        for layer, momentum in zip(normalisations, kept, strict=True):
            layer.momentum = momentum


@contextlib.contextmanager
def settled(model: Any, batches: Iterator[Any], count: int) -> Iterator[None]:
    """While inside, the batch statistics are those of the weights that the model has now.

    Afterwards all is as it was, the seeds of random layers included: a training that is looked at
    goes where one goes that nobody looks at.
    """
    kept = [(variable, np.asarray(variable).copy()) for variable in model.non_trainable_variables]
    try:
        settle(model, batches, count)
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)
