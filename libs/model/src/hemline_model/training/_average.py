"""A moving average of a model's weights, kept outside the backend's graph."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["WeightAverage"]

_EVERY = 5


class WeightAverage:
    """Average of the trainable weights with momentum `momentum` a step.

    The momentum grows from little to its full value as (1 + step) / (10 + step), so that a short
    training does not end as an average with its own beginning. Updated every fifth step, which
    costs a fifth and changes nothing that can be measured.
    """

    def __init__(self, model: Any, momentum: float) -> None:
        self._variables = list(model.trainable_variables)
        self._momentum = momentum
        self.values: list[npt.NDArray[np.float32]] = self._current()

    def update(self, step: int) -> None:
        """Take in the weights after `step` steps."""
        if step % _EVERY:
            return
        momentum = min(self._momentum, (1 + step) / (10 + step)) ** _EVERY
        for value, variable in zip(self.values, self._variables, strict=True):
            value[...] += (1 - momentum) * (np.asarray(variable) - value)

    def install(self) -> None:
        """Put the averages into the model."""
        for variable, value in zip(self._variables, self.values, strict=True):
            variable.assign(value)

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """While inside, the model has the averages for its weights."""
        kept = self._current()
        self.install()
        try:
            yield
        finally:
            for variable, value in zip(self._variables, kept, strict=True):
                variable.assign(value)

    def _current(self) -> list[npt.NDArray[np.float32]]:
        return [np.asarray(variable).copy() for variable in self._variables]
