"""Work on a schedule: compaction, retention of images that no label came for, clean-up of old versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from hemline_store.tables._table import LanceTable, lance_errors

__all__ = ["Cleaned", "Compacted", "Expired", "clean_table", "compact_table", "delete_ids"]

_IDS_A_DELETE: Final = 2000
# Of what is rewritten this much is held at a time.
_BATCH_BYTES: Final = 16 << 20
_MAX_BATCH_ROWS: Final = 8192
# A file this large is left alone: were it rewritten each time, upkeep would cost more than collecting.
_FILE_BYTES: Final = 64 << 20
_MAX_FILE_ROWS: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Compacted:
    """Small files that were rewritten as fewer large ones, over the three tables."""

    files_removed: int
    files_added: int


@dataclass(frozen=True, slots=True)
class Expired:
    """Images that were removed because no label came, and the answers to them."""

    images: int


@dataclass(frozen=True, slots=True)
class Cleaned:
    """Old versions of the tables that were removed, and what that freed."""

    versions: int
    bytes: int
    tags: tuple[str, ...]
    uploads: int


def compact_table(table: LanceTable) -> tuple[int, int]:
    """Rewrite small files as files of some 64 MB; rows keep their order and every version stays readable.

    Returns how many files were rewritten and how many took their place.
    """
    data = table.latest()
    with lance_errors(table.uri):
        row_bytes = _row_bytes(data)
        metrics = data.optimize.compact_files(
            target_rows_per_fragment=max(1, min(_MAX_FILE_ROWS, _FILE_BYTES // row_bytes)),
            batch_size=max(1, min(_MAX_BATCH_ROWS, _BATCH_BYTES // row_bytes)),
        )
    return int(metrics.fragments_removed), int(metrics.fragments_added)


def _row_bytes(data: Any) -> int:
    fragments = data.get_fragments()
    rows = sum(int(fragment.physical_rows) for fragment in fragments)
    files = (file for fragment in fragments for file in fragment.metadata.files)
    size = sum(int(file.file_size_bytes or 0) for file in files)
    return max(1, size // max(1, rows))


def delete_ids(table: LanceTable, ids: Sequence[str]) -> None:
    """Remove every row of these ids from the newest version (older versions keep them)."""
    data: Any = table.latest()
    for start in range(0, len(ids), _IDS_A_DELETE):
        quoted = ", ".join(
            "'" + id_.replace("'", "''") + "'" for id_ in ids[start : start + _IDS_A_DELETE]
        )
        with lance_errors(table.uri):
            data.delete(f"id IN ({quoted})")


def clean_table(table: LanceTable, older_than: timedelta) -> tuple[int, int]:
    """Remove versions older than that, and the files only they need; tagged ones and the newest stay."""
    with lance_errors(table.uri):
        stats = table.latest().cleanup_old_versions(
            older_than=older_than, error_if_tagged_old_versions=False
        )
    table.forget()
    return int(stats.old_versions), int(stats.bytes_removed)
