"""The sample tables of one classifier."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemline_store._errors import InvalidOption
from hemline_store._lake import Lake
from hemline_store._names import checked_name
from hemline_store._snapshot import Snapshot
from hemline_store.tables._classes import checked_classes, define_resolved
from hemline_store.tables._import import Imported, import_items
from hemline_store.tables._index import STREAM, SampleIndex, build_index, labelled_stream_ids
from hemline_store.tables._joined import Joined
from hemline_store.tables._query import run_query
from hemline_store.tables._recent import Recent
from hemline_store.tables._rows import ImageRow, ImportItem, LabelRow, PredictionRow
from hemline_store.tables._schema import IMAGES, LABELS, PREDICTIONS, image_table, plain_table
from hemline_store.tables._settings import TableSettings
from hemline_store.tables._state import State
from hemline_store.tables._summary import (
    Summary,
    count_unanswered,
    count_versions,
    fresh_count,
    summarise,
)
from hemline_store.tables._table import LanceTable, lance_errors, lance_session
from hemline_store.tables._tags import Tags
from hemline_store.tables._upkeep import (
    Cleaned,
    Compacted,
    Expired,
    clean_table,
    compact_table,
    delete_ids,
)

__all__ = ["WINDOW", "Samples"]

WINDOW: Final = 1000
"""Newest labelled answers that live accuracy is taken over, if not said otherwise."""


class Samples:
    """Images, labels and predictions of one classifier: three append-only tables, joined when they are read.

    Safe for several threads; any number of processes may write and read at once.
    """

    def __init__(self, lake: Lake, settings: TableSettings) -> None:
        """Use :meth:`open`."""
        self._lake = lake
        self._settings = settings
        session = lance_session(settings.metadata_cache_bytes)
        self._images, self._labels, self._predictions = (
            LanceTable(f"{lake.uri}/samples", spec, lake.storage_options, session)
            for spec in (IMAGES, LABELS, PREDICTIONS)
        )
        self._tables = (self._images, self._labels, self._predictions)
        self._tags = Tags(lake.objects, self._tables)
        self._joined = Joined(self._new_state)
        self._summaries: Recent[Summary] = Recent(8)
        self._indexes: Recent[SampleIndex] = Recent(2)
        self._labelled_before: Recent[pa.Array] = Recent(4)
        self._answered_before: Recent[pa.Array] = Recent(2)

    @classmethod
    def open(cls, lake: Lake, *, settings: TableSettings | None = None) -> Self:
        """Open the tables and make those that are missing.

        Raises:
            BadTable: there is a table of another shape.
            Denied, Unavailable: the storage refuses or does not answer.
        """
        return cls(lake, settings or TableSettings())

    def close(self) -> None:
        """Free what is held in memory; the tables can still be used."""
        self._joined.close()

    # Writing. Each call is one commit: when it returns the rows are durable, and a process that is killed inside has
    # written all of them or none. Writing the same rows again changes nothing that is read later.

    def append_images(self, rows: Sequence[ImageRow]) -> None:
        """Append images."""
        if rows:
            self._images.append(image_table(rows))

    def append_labels(self, rows: Sequence[LabelRow]) -> None:
        """Append labels; a label may come before its image, twice, or corrected."""
        if rows:
            self._labels.append(plain_table(LABELS, rows))

    def append_predictions(self, rows: Sequence[PredictionRow]) -> None:
        """Append answers."""
        if rows:
            self._predictions.append(plain_table(PREDICTIONS, rows))

    def import_dataset(self, name: str, items: Iterable[ImportItem]) -> Imported:
        """Bring a data set in with origin ``import``: idempotent, and finished by the next call if it was killed.

        Args:
            name: names the data set, a folder name.
            items: images with ids that are the same in every run.
        """
        return import_items(
            self._images, self._labels, checked_name(name, "the name of a data set"), items
        )

    # Snapshots.

    def snapshot(self) -> Snapshot:
        """The newest versions of the three tables."""
        return Snapshot(
            images=self._images.version(),
            labels=self._labels.version(),
            predictions=self._predictions.version(),
        )

    def tag(self, name: str, snapshot: Snapshot) -> Snapshot:
        """Name a snapshot, so that clean-up leaves it alone; returns the snapshot that has the name.

        The first snapshot that got a name keeps it, whoever asks again and however many ask at once.

        Raises:
            SnapshotGone: the snapshot names versions that are not there.
        """
        return self._tags.put(name, snapshot)

    def tagged(self, name: str) -> Snapshot | None:
        """The snapshot with this name, or None."""
        return self._tags.get(name)

    def tags(self) -> dict[str, Snapshot]:
        """Every name and its snapshot."""
        return self._tags.all()

    def untag(self, name: str) -> None:
        """Take a name away; a name that nobody has is no error."""
        self._tags.remove(name)

    # Reading.

    def summary(
        self,
        classes: Sequence[str],
        *,
        since: Snapshot | None = None,
        window: int = WINDOW,
        snapshot: Snapshot | None = None,
        answered_since: Snapshot | None = None,
    ) -> Summary:
        """Counts to decide by; cheap enough to be asked every second.

        Args:
            classes: the model's class names.
            since: count as fresh what was not labelled in this snapshot; None: every labelled stream sample.
            window: newest labelled answers that live accuracy is taken over, newest by when they were given.
            snapshot: None for the newest.
            answered_since: count for the versions only images that were first answered after this snapshot (a trial
                of two versions under one rollout); None: all.

        Raises:
            SnapshotGone: one of the snapshots is gone.
            OutOfSpace: the join needs more than the settings allow.
            InvalidOption: the classes or the window cannot be used.
        """
        names = checked_classes(classes)
        if window < 1:
            raise InvalidOption(f"window is {window}; expected at least 1 answer")
        snapshot = snapshot or self.snapshot()
        key = (snapshot, names, since, window, answered_since)
        if (known := self._summaries.get(key)) is not None:
            return known
        labelled_before = None if since is None else self._labelled_in(since, names)
        answered_before = self._answered_in(answered_since)
        with self._joined.at(snapshot) as state:
            define_resolved(state.connection, names)
            connection = state.connection
            summary = summarise(
                connection,
                snapshot,
                names,
                fresh=None if labelled_before is None else fresh_count(connection, labelled_before),
                versions=count_versions(connection, window, answered_before),
            )
        return self._summaries.put(key, summary)

    def unanswered(self, *, received_since: datetime) -> int:
        """Images that came from the stream at or after a time and have no prediction in the lake (yet).

        Raises:
            OutOfSpace: the join needs more than the settings allow.
        """
        with self._joined.at(self.snapshot()) as state:
            return count_unanswered(state.connection, received_since)

    def index(self, snapshot: Snapshot, classes: Sequence[str]) -> SampleIndex:
        """The labelled samples of a snapshot as parallel arrays; see :class:`SampleIndex`.

        Raises:
            SnapshotGone: the snapshot is gone.
        """
        names = checked_classes(classes)
        if (known := self._indexes.get((snapshot, names))) is not None:
            return known
        with self._joined.at(snapshot) as state:
            define_resolved(state.connection, names)
            return self._indexes.put(
                (snapshot, names), build_index(state.connection, snapshot, names)
            )

    def labelled_after(self, index: SampleIndex, since: Snapshot) -> npt.NDArray[np.bool_]:
        """Which samples of an index are fresh: from the stream, and not labelled in the snapshot ``since``.

        The same meaning as ``Summary.fresh_labelled``: the sum of it is that count.
        """
        before = self._labelled_in(since, index.classes)
        known = pc.is_in(pa.array(index.id, pa.string()), value_set=before)
        fresh: npt.NDArray[np.bool_] = (index.origin == STREAM) & ~known.to_numpy(
            zero_copy_only=False
        )
        return fresh

    def take(self, snapshot: Snapshot, rows: Sequence[int] | npt.NDArray[np.int64]) -> list[bytes]:
        """Encoded images by ``SampleIndex.row``, in the order asked for.

        Raises:
            InvalidOption: a row is not in the snapshot.
            SnapshotGone: the snapshot is gone.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        if not wanted.size:
            return []
        data = self._images.at(snapshot.images)
        with lance_errors(self._images.uri, snapshot.images):
            count = data.count_rows()
            if wanted.min() < 0 or wanted.max() >= count:
                raise InvalidOption(
                    f"rows {wanted.min()} to {wanted.max()} were asked for; the snapshot has images 0 to {count - 1}"
                )
            encoded: list[bytes] = data.take(pa.array(wanted), columns=["data"])["data"].to_pylist()
        return encoded

    def query(
        self, sql: str, *, classes: Sequence[str] | None = None, snapshot: Snapshot | None = None
    ) -> pa.Table:
        """Run one SELECT over the lake; see the README for the views.

        Args:
            sql: DuckDB's SQL.
            classes: class names; None for those of the newest published model.
            snapshot: None for the newest.

        Raises:
            BadQuery: DuckDB does not understand it.
        """
        snapshot = snapshot or self.snapshot()
        names = checked_classes(classes if classes is not None else self._newest_classes())
        with self._joined.at(snapshot) as state:
            define_resolved(state.connection, names)
            joined = state.connection.sql(
                "SELECT resolved.*, n.name AS class_name FROM resolved LEFT JOIN class_names n ON n.index = class"
            ).to_arrow_table()
        versions = (snapshot.images, snapshot.labels, snapshot.predictions)
        tables = {
            table.spec.name: table.at(version)
            for table, version in zip(self._tables, versions, strict=True)
        }
        return run_query(sql, tables, joined, self._settings)

    # Upkeep: run on a schedule, at any time, beside everything else.

    def compact(self) -> Compacted:
        """Rewrite the many small files of single commits as few large ones."""
        counts = [compact_table(table) for table in self._tables]
        return Compacted(sum(removed for removed, _ in counts), sum(added for _, added in counts))

    def expire(self, older_than: timedelta, *, now: datetime | None = None) -> Expired:
        """Remove images from the stream that no label came for within ``older_than``, and the answers to them.

        Snapshots that are kept by a tag still hold them; disk space is freed by :meth:`clean`.
        """
        before = int(((now or datetime.now(UTC)) - older_than).timestamp() * 1_000_000)
        with self._joined.at(self.snapshot()) as state:
            rows = state.connection.execute(
                "SELECT id FROM joined WHERE row IS NOT NULL AND origin = 1 AND l_time IS NULL AND i_received < ?",
                [before],
            ).fetchall()
        ids = [id_ for (id_,) in rows]
        delete_ids(self._images, ids)
        delete_ids(self._predictions, ids)
        return Expired(len(ids))

    def clean(self, older_than: timedelta, *, tags_older_than: timedelta | None = None) -> Cleaned:
        """Remove old versions of the tables, and what publishers of models left behind.

        Tagged snapshots and the newest versions stay. Readers of an untagged snapshot have ``older_than`` to finish.

        Args:
            older_than: age from which an untagged version is removed.
            tags_older_than: also take away names that are older than that, unless a published model's card names
                their snapshot; None keeps all.
        """
        removed: list[str] = []
        if tags_older_than is not None:
            removed = self._tags.remove_older(tags_older_than, self._snapshots_of_models())
        self._tags.protect_all()
        counts = [clean_table(table, older_than) for table in self._tables]
        uploads = self._lake.models.discard_leftovers(
            older_than=max(older_than, timedelta(hours=1))
        )
        return Cleaned(
            versions=sum(versions for versions, _ in counts),
            bytes=sum(size for _, size in counts),
            tags=tuple(removed),
            uploads=uploads,
        )

    def _labelled_in(self, snapshot: Snapshot, classes: tuple[str, ...]) -> pa.Array:
        if (known := self._labelled_before.get((snapshot, classes))) is not None:
            return known
        with self._joined.at(snapshot) as state:
            define_resolved(state.connection, classes)
            ids = labelled_stream_ids(state.connection)
        return self._labelled_before.put((snapshot, classes), ids)

    def _answered_in(self, snapshot: Snapshot | None) -> pa.Array:
        version = snapshot.predictions if snapshot else 0
        if version == 0:
            return pa.array([], pa.string())
        if (known := self._answered_before.get(version)) is not None:
            return known
        data = self._predictions.at(version)
        with lance_errors(self._predictions.uri, version):
            ids = data.to_table(columns=["id"])["id"].combine_chunks()
        return self._answered_before.put(version, ids)

    def _newest_classes(self) -> list[str]:
        versions = self._lake.models.versions()
        if not versions:
            raise InvalidOption(
                f"{self._lake.uri} has no model version whose class names could be used; pass classes"
            )
        return list(self._lake.models.card(versions[-1]).get("classes", ()))

    def _snapshots_of_models(self) -> set[Snapshot]:
        cards = (self._lake.models.card(version) for version in self._lake.models.versions())
        named: list[Any] = [card.get("snapshot") for card in cards]
        return {Snapshot.model_validate(snapshot) for snapshot in named if snapshot}

    def _new_state(self) -> State:
        return State(*self._tables, self._settings.connect())
