"""Errors of the trainer.

::

    TrainerError
    ├── Interrupted     the run was asked to stop; retryable: the same command goes on from the checkpoint
    ├── Unreachable     no sample server answered for as long as allowed; retryable
    ├── StreamRefused   the sample server refuses what was asked; the same request fails again
    ├── NotEnoughData   the snapshot holds too little to train on or judge by
    └── BadState        the work directory belongs to another run

``retryable`` says whether starting the same run again can succeed.
"""

from typing import ClassVar

__all__ = [
    "BadState",
    "Interrupted",
    "NotEnoughData",
    "StreamRefused",
    "TrainerError",
    "Unreachable",
]


class TrainerError(Exception):
    """Root of everything this package raises on purpose."""

    retryable: ClassVar[bool] = False


class Interrupted(TrainerError):
    """The run was asked to stop, and did; what is done so far is kept."""

    retryable = True


class Unreachable(TrainerError):
    """No sample server could be reached for as long as the run was told to wait."""

    retryable = True


class StreamRefused(TrainerError):
    """The sample server refuses the request, or sends what was not asked for."""


class NotEnoughData(TrainerError):
    """There are too few labelled samples."""


class BadState(TrainerError):
    """What lies in the work directory cannot be used by this run."""
