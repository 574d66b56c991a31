"""The three tables' columns, and how rows become Arrow tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from hemline_api.hashing import split_of
from hemline_store._errors import BadRow
from hemline_store.tables._rows import ImageRow, LabelRow, PredictionRow

__all__ = ["IMAGES", "LABELS", "PREDICTIONS", "TableSpec", "image_table", "plain_table"]

_FORMAT: Final = {"hemline.format": "1"}
_TIME: Final = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A table: its name in the lake and its columns."""

    name: str
    schema: pa.Schema


def _field(name: str, type_: pa.DataType, *, null: bool = False) -> pa.Field:
    return pa.field(name, type_, nullable=null)


IMAGES: Final = TableSpec(
    "images",
    pa.schema(
        [
            _field("id", pa.string()),
            _field("group", pa.string(), null=True),
            _field("data", pa.large_binary()),
            _field("content_type", pa.string()),
            _field("origin", pa.string()),
            _field("split", pa.string()),
            _field("received_at", _TIME),
        ],
        metadata=_FORMAT,
    ),
)

LABELS: Final = TableSpec(
    "labels",
    pa.schema(
        [
            _field("id", pa.string()),
            _field("label", pa.int32(), null=True),
            _field("label_name", pa.string(), null=True),
            _field("retracted", pa.bool_()),
            _field("time", _TIME),
            _field("event_id", pa.string()),
            _field("source", pa.string(), null=True),
            _field("received_at", _TIME),
        ],
        metadata=_FORMAT,
    ),
)

PREDICTIONS: Final = TableSpec(
    "predictions",
    pa.schema(
        [
            _field("id", pa.string()),
            _field("label", pa.int32()),
            _field("label_name", pa.string()),
            _field("confidence", pa.float32()),
            _field("probabilities", pa.list_(pa.float32()), null=True),
            _field("model_version", pa.int32()),
            _field("received_at", _TIME),
            _field("predicted_at", _TIME),
            _field("event_id", pa.string()),
        ],
        metadata=_FORMAT,
    ),
)


def image_table(rows: Sequence[ImageRow]) -> pa.Table:
    """Images as a table; the split is fixed here, by a hash of the group, else of the id."""
    computed: dict[str, list[str]] = {
        "split": [row.split or split_of(row.group or row.id) for row in rows]
    }
    return _table(IMAGES, rows, computed)


def plain_table(spec: TableSpec, rows: Sequence[LabelRow] | Sequence[PredictionRow]) -> pa.Table:
    """Labels or predictions as a table."""
    return _table(spec, rows, {})


def _table(spec: TableSpec, rows: Sequence[Any], computed: dict[str, list[str]]) -> pa.Table:
    try:
        columns = [
            pa.array(
                computed.get(field.name) or [getattr(row, field.name) for row in rows], field.type
            )
            for field in spec.schema
        ]
        return pa.Table.from_arrays(columns, schema=spec.schema)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, AttributeError) as error:
        raise BadRow(f"a row does not fit the table {spec.name}: {error}") from error
