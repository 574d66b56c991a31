"""The labelled samples of a snapshot as parallel arrays: what a sample stream shuffles, splits and shards."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hemline_store._snapshot import Snapshot

__all__ = [
    "IMPORT",
    "STREAM",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "SampleIndex",
    "build_index",
    "labelled_stream_ids",
]

TRAIN: Final = 0
VALIDATION: Final = 1
TEST: Final = 2
IMPORT: Final = 0
STREAM: Final = 1


@dataclass(frozen=True, slots=True)
class SampleIndex:
    """Every image with a standing, known label, once each, in the order of ``row``.

    A pure function of (snapshot, classes). Arrays are parallel and read-only.
    """

    snapshot: Snapshot
    classes: tuple[str, ...]
    id: npt.NDArray[np.object_]
    """The image's id, a str; the same in every snapshot."""
    row: npt.NDArray[np.int64]
    """Where the image is in this snapshot, for ``Samples.take``."""
    label: npt.NDArray[np.int64]
    """Index of the class."""
    split: npt.NDArray[np.int8]
    """``TRAIN``, ``VALIDATION`` or ``TEST``."""
    origin: npt.NDArray[np.int8]
    """``IMPORT`` or ``STREAM``."""
    label_order: npt.NDArray[np.int64]
    """Rank of the label by its time, 0 the oldest: the newest labels are those with the greatest."""
    labelled_at: npt.NDArray[np.int64]
    """The label's time in microseconds since 1970 (0 for imported labels)."""

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.row)


def build_index(connection: Any, snapshot: Snapshot, classes: tuple[str, ...]) -> SampleIndex:
    """Read the index; ``resolved`` must be defined."""
    table = connection.sql(
        """
        SELECT id, row, class::BIGINT AS label, split, origin, l_time,
               row_number() OVER (ORDER BY l_time, row) - 1 AS label_order
        FROM resolved WHERE row IS NOT NULL AND class IS NOT NULL
        ORDER BY row
        """
    ).to_arrow_table()

    def column(name: str, dtype: type) -> Any:
        values = table[name].to_numpy().astype(dtype)
        values.setflags(write=False)
        return values

    return SampleIndex(
        snapshot=snapshot,
        classes=classes,
        id=column("id", object),
        row=column("row", np.int64),
        label=column("label", np.int64),
        split=column("split", np.int8),
        origin=column("origin", np.int8),
        label_order=column("label_order", np.int64),
        labelled_at=column("l_time", np.int64),
    )


def labelled_stream_ids(connection: Any) -> pa.Array:
    """Ids of the labelled samples that came from the stream; ``resolved`` must be defined."""
    table = connection.sql(
        "SELECT id FROM resolved WHERE row IS NOT NULL AND origin = 1 AND class IS NOT NULL"
    ).to_arrow_table()
    return table["id"].combine_chunks()
