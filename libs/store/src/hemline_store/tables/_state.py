"""The three tables joined: one row for each image id, kept in an in-memory DuckDB and moved forward by what was added.

What the join means is said here and nowhere else:

- of several copies of an image the first received counts (the same id is the same image);
- of several labels the one with the greatest time holds, then the one with the greater event id; it may be a
  retraction, and it may come before its image;
- of several answers for an image the first given counts, as readers of the predictions topic do.

None of this depends on the order of rows, so compaction and redelivery change nothing.
"""

from typing import Any, Final

import pyarrow as pa

from hemline_store._snapshot import Snapshot
from hemline_store.tables._table import LanceTable, lance_errors

__all__ = ["JOINED_COLUMNS", "State"]

_BATCH_ROWS: Final = 1 << 20

JOINED_COLUMNS: Final = {
    "id": "VARCHAR",
    "row": "BIGINT",  # offset in the images table at this snapshot; NULL while the image is missing
    "origin": "TINYINT",  # 0 import, 1 stream
    "split": "TINYINT",  # 0 train, 1 validation, 2 test
    "i_received": "BIGINT",  # microseconds since 1970, as all times here
    "l_time": "BIGINT",
    "l_event": "VARCHAR",
    "l_label": "INTEGER",
    "l_name": "VARCHAR",
    "l_stands": "BOOLEAN",  # NULL: no label ever came, false: retracted
    "p_time": "BIGINT",
    "p_received": "BIGINT",
    "p_version": "INTEGER",
    "p_label": "INTEGER",
    "p_name": "VARCHAR",
    "p_confidence": "FLOAT",
}

_IMAGE_COLUMNS: Final = ["id", "origin", "split", "received_at"]
_LABEL_COLUMNS: Final = ["id", "label", "label_name", "retracted", "time", "event_id"]
_PREDICTION_COLUMNS: Final = [
    "id", "label", "label_name", "confidence", "model_version", "received_at", "predicted_at",
]  # fmt: skip

_MERGE_IMAGES: Final = """
MERGE INTO joined AS s USING (
    SELECT id, row, received_at AS t,
           CASE origin WHEN 'stream' THEN 1 ELSE 0 END AS origin,
           CASE split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 ELSE 2 END AS split
    FROM added QUALIFY row_number() OVER (PARTITION BY id ORDER BY received_at, row) = 1
) AS d ON s.id = d.id
WHEN MATCHED AND (s.row IS NULL OR d.t < s.i_received)
    THEN UPDATE SET row = d.row, origin = d.origin, split = d.split, i_received = d.t
WHEN NOT MATCHED
    THEN INSERT (id, row, origin, split, i_received) VALUES (d.id, d.row, d.origin, d.split, d.t)
"""

_MERGE_LABELS: Final = """
MERGE INTO joined AS s USING (
    SELECT id, time AS t, event_id AS e, label, label_name, NOT retracted AS stands
    FROM added QUALIFY row_number() OVER (PARTITION BY id ORDER BY time DESC, event_id DESC, row) = 1
) AS d ON s.id = d.id
WHEN MATCHED AND (s.l_time IS NULL OR d.t > s.l_time OR (d.t = s.l_time AND d.e > s.l_event))
    THEN UPDATE SET l_time = d.t, l_event = d.e, l_label = d.label, l_name = d.label_name, l_stands = d.stands
WHEN NOT MATCHED
    THEN INSERT (id, l_time, l_event, l_label, l_name, l_stands)
         VALUES (d.id, d.t, d.e, d.label, d.label_name, d.stands)
"""

_MERGE_PREDICTIONS: Final = """
MERGE INTO joined AS s USING (
    SELECT id, predicted_at AS t, received_at AS r, model_version AS v, label, label_name, confidence
    FROM added QUALIFY row_number() OVER (PARTITION BY id ORDER BY predicted_at, model_version, row) = 1
) AS d ON s.id = d.id
WHEN MATCHED AND (s.p_time IS NULL OR d.t < s.p_time OR (d.t = s.p_time AND d.v < s.p_version))
    THEN UPDATE SET p_time = d.t, p_received = d.r, p_version = d.v, p_label = d.label, p_name = d.label_name,
                    p_confidence = d.confidence
WHEN NOT MATCHED
    THEN INSERT (id, p_time, p_received, p_version, p_label, p_name, p_confidence)
         VALUES (d.id, d.t, d.r, d.v, d.label, d.label_name, d.confidence)
"""

_Fragment = tuple[int, int, int]


class State:
    """The join at one snapshot. Not for several threads at once.

    Args:
        images, labels, predictions: the tables.
        connection: an empty DuckDB, closed with the state.
    """

    def __init__(
        self, images: LanceTable, labels: LanceTable, predictions: LanceTable, connection: Any
    ) -> None:
        """Begin with nothing: the snapshot of three empty tables."""
        self.snapshot = Snapshot(images=0, labels=0, predictions=0)
        self._sources = (
            _Source(images, _IMAGE_COLUMNS, _MERGE_IMAGES),
            _Source(labels, _LABEL_COLUMNS, _MERGE_LABELS),
            _Source(predictions, _PREDICTION_COLUMNS, _MERGE_PREDICTIONS),
        )
        self.connection = connection
        self.connection.execute("SET preserve_insertion_order = false")
        columns = ", ".join(f"{name} {type_}" for name, type_ in JOINED_COLUMNS.items())
        self.connection.execute(f"CREATE TABLE joined ({columns})")

    def advance(self, snapshot: Snapshot) -> bool:
        """Move to a snapshot; False if it is no continuation of this one, which is then of no more use.

        Raises:
            SnapshotGone: the snapshot's tables are gone.
        """
        wanted = (snapshot.images, snapshot.labels, snapshot.predictions)
        for source, version in zip(self._sources, wanted, strict=True):
            if not source.advance(self.connection, version):
                return False
        self.snapshot = snapshot
        return True

    def close(self) -> None:
        """Free its memory."""
        self.connection.close()


class _Source:
    """How far one table has been merged: its version, fragments and rows so far."""

    def __init__(self, table: LanceTable, columns: list[str], merge: str) -> None:
        self._table = table
        self._columns = columns
        self._merge = merge
        self._version = 0
        self._fragments: list[_Fragment] = []
        self._rows = 0

    def advance(self, connection: Any, version: int) -> bool:
        if version == self._version:
            return True
        if version < self._version:
            return False
        data = self._table.at(version)
        with lance_errors(self._table.uri, version):
            fragments = data.get_fragments()
            marks = [_mark(fragment) for fragment in fragments]
            known = len(self._fragments)
            # Compaction and deletion rewrite what was merged: then the join is made anew.
            if marks[:known] != self._fragments:
                return False
            if added := fragments[known:]:
                self._merge_added(connection, data, added)
        self._fragments = marks
        self._version = version
        return True

    def _merge_added(self, connection: Any, data: Any, fragments: list[Any]) -> None:
        scanner = data.scanner(columns=self._columns, fragments=fragments, scan_in_order=True)
        waiting: list[pa.RecordBatch] = []
        rows = 0
        for batch in scanner.to_batches():
            waiting.append(batch)
            rows += batch.num_rows
            if rows >= _BATCH_ROWS:
                self._merge_batches(connection, waiting)
                waiting, rows = [], 0
        if rows:
            self._merge_batches(connection, waiting)

    def _merge_batches(self, connection: Any, batches: list[pa.RecordBatch]) -> None:
        table = pa.Table.from_batches(batches)
        offsets = pa.array(range(self._rows, self._rows + table.num_rows), pa.int64())
        columns = [
            column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
            for column in table.columns
        ]
        added = pa.table([*columns, offsets], names=[*table.column_names, "row"])
        connection.register("added", added)
        connection.execute(self._merge)
        connection.unregister("added")
        self._rows += table.num_rows


def _mark(fragment: Any) -> _Fragment:
    return (fragment.fragment_id, fragment.physical_rows, fragment.num_deletions)
