"""Errors of ``hemline_store``.

StoreError
├── InvalidOption      an address, a name, an id or a setting cannot be used
├── Denied             the storage refuses these credentials
├── Unavailable        the storage does not answer, or too many write at once   (retryable)
├── BadModel           what should be published is no model directory
├── UnknownVersion     there is no such model version
├── CorruptModel       a published version is not what its card says
├── BadRow             a row that no table can hold
├── BadTable           the lake holds a table of another shape
├── SnapshotGone       a snapshot names versions that are no longer there
├── OutOfSpace         the join needs more memory and scratch space than it may use
└── BadQuery           a query that DuckDB does not understand

``retryable`` says whether the same call may succeed later.
"""

from typing import ClassVar

__all__ = [
    "BadModel",
    "BadQuery",
    "BadRow",
    "BadTable",
    "CorruptModel",
    "Denied",
    "InvalidOption",
    "OutOfSpace",
    "SnapshotGone",
    "StoreError",
    "Unavailable",
    "UnknownVersion",
]


class StoreError(Exception):
    """Anything that the lake could not do."""

    retryable: ClassVar[bool] = False


class InvalidOption(StoreError, ValueError):
    """An address, a name, an id or a setting cannot be used."""


class Denied(StoreError):
    """The storage refuses these credentials."""


class Unavailable(StoreError):
    """The storage does not answer, or too many write to it at once."""

    retryable = True


class BadModel(StoreError, ValueError):
    """What should be published is no model directory, or not the one its card describes."""


class UnknownVersion(StoreError, LookupError):
    """There is no such model version (or it is not published completely)."""


class CorruptModel(StoreError):
    """A published version is not what its card says."""


class BadRow(StoreError, ValueError):
    """A row that no table can hold."""


class BadTable(StoreError):
    """The lake holds a table of another shape than this library reads and writes."""


class SnapshotGone(StoreError, LookupError):
    """A snapshot names table versions that were never there or have been cleaned up."""


class OutOfSpace(StoreError):
    """The join needs more memory and scratch space than it may use."""


class BadQuery(StoreError, ValueError):
    """A query that DuckDB does not understand, or that asks for more than it may."""
