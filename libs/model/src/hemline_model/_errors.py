"""Errors of this library, all of them below one root.

::

    ModelError
    ├── BadImage      an encoded image or array that cannot become the model's input
    ├── BadDataset    a data set that cannot be read, or holds nothing to learn from
    ├── BadModel      a model directory that is incomplete, altered or unusable here
    ├── BadSettings   a setting, flag or configuration key that is not accepted
    ├── MissingExtra  a part of this package whose dependencies are not installed
    └── Stopped       training was asked to stop and did; retryable: it resumes from its checkpoint

All but `Stopped` are final: the same call fails again until its input changes. Every message is one
line that says what was received, what was expected and what to do.
"""

from typing import ClassVar

__all__ = [
    "BadDataset",
    "BadImage",
    "BadModel",
    "BadSettings",
    "MissingExtra",
    "ModelError",
    "Stopped",
]


class ModelError(Exception):
    """Root of everything this library raises on purpose."""

    retryable: ClassVar[bool] = False


class BadImage(ModelError, ValueError):
    """The bytes or array given are no image that the model can take."""


class BadDataset(ModelError, ValueError):
    """The data set cannot be read, or holds nothing to learn from."""


class BadModel(ModelError, ValueError):
    """The model directory is incomplete, altered since it was written, or unusable here."""


class BadSettings(ModelError, ValueError):
    """A setting has a value, or a configuration a key, that is not accepted."""


class MissingExtra(ModelError, ImportError):
    """An optional part was used whose dependencies are not installed."""


class Stopped(ModelError):
    """Training stopped because it was asked to; calling it again resumes from the checkpoint."""

    retryable = True
