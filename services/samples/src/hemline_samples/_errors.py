"""Errors of the sample services.

::

    SamplesError
    ├── BadRequest    a stream was asked for that cannot be; the same request fails again
    ├── NotReady      no model or no samples yet; retryable: they may come
    └── TooLarge      one batch would exceed what is sent in a message; ask for smaller batches

``retryable`` says whether the same call can succeed later.
"""

from typing import ClassVar

__all__ = ["BadRequest", "NotReady", "SamplesError", "TooLarge"]


class SamplesError(Exception):
    """Root of everything this package raises on purpose."""

    retryable: ClassVar[bool] = False


class BadRequest(SamplesError):
    """A field of a request is out of range, or fields contradict each other."""


class NotReady(SamplesError):
    """What the request needs has not come into being yet."""

    retryable = True


class TooLarge(BadRequest):
    """A batch of that size does not fit into one message."""
