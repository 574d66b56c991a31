"""Errors of the inference service.

::

    InferenceError
    ├── VersionRefused       a model version cannot serve here; final, the version before it keeps serving
    └── VersionUnavailable   a model version cannot be fetched now; retryable
"""

from typing import ClassVar, Literal

__all__ = ["InferenceError", "RefusalReason", "VersionRefused", "VersionUnavailable"]

RefusalReason = Literal["missing", "damaged", "wrong_answers", "failed"]
"""Why a version does not serve, as a bounded set for the metric: it is not in the lake; what is there is not
what its card says, or the engine refuses it; it answered its warm-up with something that is no probability;
it raised."""


class InferenceError(Exception):
    """Root of what this service raises on purpose."""

    retryable: ClassVar[bool] = False


class VersionRefused(InferenceError):
    """A model version that cannot serve, with the reason to show."""

    def __init__(self, version: int, reason: RefusalReason, message: str) -> None:
        """Keep the bounded reason beside the message."""
        super().__init__(message)
        self.version = version
        self.reason: RefusalReason = reason


class VersionUnavailable(InferenceError):
    """A model version that could not be fetched this time."""

    retryable = True
