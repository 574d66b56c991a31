"""Upkeep of a lake beside everything that uses it: few large files, no old versions, no images that nobody labelled."""

import logging
from datetime import timedelta

from hemline_store import Lake
from hemline_store.tables import Samples

__all__ = ["keep_up"]

_log = logging.getLogger(__name__)


def keep_up(lake: Lake, *, keep_versions: timedelta, expire_unlabelled: timedelta | None) -> None:
    """Compact, expire, clean, in this order: what the first two leave behind is what the third removes later.

    Args:
        lake: the classifier's lake.
        keep_versions: how long an untagged version of the tables can be read after it was replaced.
        expire_unlabelled: age at which a stream image that no label came for is removed; None keeps them all.

    Raises:
        StoreError: the lake cannot be read or written. What was done before stays done.
    """
    samples = Samples.open(lake)
    try:
        compacted = samples.compact()
        _log.info("%d files became %d", compacted.files_removed, compacted.files_added)
        if expire_unlabelled is not None:
            expired = samples.expire(expire_unlabelled)
            _log.info("%d unlabelled images removed", expired.images)
        cleaned = samples.clean(keep_versions)
        _log.info("%d old versions removed, %d bytes freed", cleaned.versions, cleaned.bytes)
    finally:
        samples.close()
