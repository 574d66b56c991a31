"""Bringing a data set into the tables, once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from hemline_store.tables._rows import ImageRow, ImportItem, LabelRow
from hemline_store.tables._schema import LABELS, image_table, plain_table
from hemline_store.tables._table import LanceTable, lance_errors

__all__ = ["Imported", "import_items"]

_BATCH_ITEMS: Final = 8192
_BATCH_BYTES: Final = 64 << 20
# So old that any label from the stream corrects an imported one.
_LABELLED_AT: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import found: ``items`` in the data set, of which ``images`` and ``labels`` were new."""

    items: int
    images: int
    labels: int


def import_items(
    images: LanceTable, labels: LanceTable, name: str, items: Iterable[ImportItem]
) -> Imported:
    """Append what is not there yet. A run that was killed is finished by the next one."""
    source = f"import:{name}"
    known_images = _known(images, "origin = 'import'")
    known_labels = _known(labels, f"source = '{source}'")
    total = new_images = new_labels = 0
    for batch in _batches(items):
        now = datetime.now(UTC)
        ids = pa.array([item.id for item in batch], pa.string())
        image_rows = [_image(item, now) for item in _missing(batch, ids, known_images)]
        label_rows = [_label(item, source, now) for item in _missing(batch, ids, known_labels)]
        if image_rows:
            images.append(image_table(image_rows))
        if label_rows:
            labels.append(plain_table(LABELS, label_rows))
        total += len(batch)
        new_images += len(image_rows)
        new_labels += len(label_rows)
    return Imported(total, new_images, new_labels)


def _batches(items: Iterable[ImportItem]) -> Iterator[list[ImportItem]]:
    batch: list[ImportItem] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.data)
        if len(batch) >= _BATCH_ITEMS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _known(table: LanceTable, condition: str) -> pa.Array:
    with lance_errors(table.uri):
        return table.latest().to_table(columns=["id"], filter=condition)["id"].combine_chunks()


def _missing(batch: list[ImportItem], ids: pa.Array, known: pa.Array) -> list[ImportItem]:
    there = pc.is_in(ids, value_set=known).to_pylist()
    return [item for item, found in zip(batch, there, strict=True) if not found]


def _image(item: ImportItem, now: datetime) -> ImageRow:
    return ImageRow(
        id=item.id,
        data=item.data,
        content_type=item.content_type,
        received_at=now,
        origin="import",
        group=item.group,
        split=item.split,
    )


def _label(item: ImportItem, source: str, now: datetime) -> LabelRow:
    return LabelRow(
        id=item.id,
        label=item.label,
        label_name=None,
        time=_LABELLED_AT,
        event_id=f"{source}:{item.id}",
        received_at=now,
        source=source,
    )
