"""The lake: model versions, reports and sample tables on a disk or an object store.

This half needs an object store client and nothing more; the sample tables are in ``hemline_store.tables``, which needs
the extra ``hemline-store[tables]``.
"""

from hemline_store._errors import (
    BadModel,
    BadQuery,
    BadRow,
    BadTable,
    CorruptModel,
    Denied,
    InvalidOption,
    OutOfSpace,
    SnapshotGone,
    StoreError,
    Unavailable,
    UnknownVersion,
)
from hemline_store._lake import Lake
from hemline_store._models import ModelStore
from hemline_store._reports import Reports
from hemline_store._snapshot import Snapshot

__all__ = [
    "BadModel",
    "BadQuery",
    "BadRow",
    "BadTable",
    "CorruptModel",
    "Denied",
    "InvalidOption",
    "Lake",
    "ModelStore",
    "OutOfSpace",
    "Reports",
    "Snapshot",
    "SnapshotGone",
    "StoreError",
    "Unavailable",
    "UnknownVersion",
]
