"""Counts to decide by, over the joined tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from hemline_store._snapshot import Snapshot

__all__ = [
    "ClassCount",
    "Summary",
    "VersionAccuracy",
    "count_unanswered",
    "count_versions",
    "fresh_count",
    "summarise",
]


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Labelled samples of one class."""

    name: str
    labelled: int


@dataclass(frozen=True, slots=True)
class VersionAccuracy:
    """How one model version did: ``labelled`` and ``correct`` within the window, ``answered`` in all.

    An image counts for the version that answered it first.
    """

    version: int
    labelled: int
    correct: int
    answered: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What the lake holds at one snapshot.

    ``stream_images = stream_labelled + waiting_for_label + those with an unknown label``.
    """

    snapshot: Snapshot
    images: int
    """Distinct images, imports included."""
    labelled: int
    """Of those, with a standing label that is a class."""
    stream_images: int
    """Distinct images that came from the stream."""
    stream_labelled: int
    """Of those, labelled."""
    fresh_labelled: int
    """Of those, not labelled in the snapshot ``since``."""
    waiting_for_label: int
    """Stream images that no label stands for (none came, or it was retracted)."""
    waiting_for_image: int
    """Standing labels whose image is missing."""
    unknown_labels: int
    """Images whose standing label names no class."""
    classes: tuple[ClassCount, ...]
    versions: tuple[VersionAccuracy, ...]


def summarise(
    connection: Any,
    snapshot: Snapshot,
    classes: tuple[str, ...],
    *,
    fresh: int | None,
    versions: tuple[VersionAccuracy, ...],
) -> Summary:
    """Count; ``resolved`` must be defined. ``fresh`` None: every labelled stream sample is fresh."""
    (row,) = connection.execute(
        """
        SELECT count(row),
               count(*) FILTER (row IS NOT NULL AND class IS NOT NULL),
               count(*) FILTER (row IS NOT NULL AND origin = 1),
               count(*) FILTER (row IS NOT NULL AND origin = 1 AND class IS NOT NULL),
               count(*) FILTER (row IS NOT NULL AND origin = 1 AND l_stands IS NOT TRUE),
               count(*) FILTER (row IS NULL AND l_stands),
               count(*) FILTER (row IS NOT NULL AND l_stands AND class IS NULL)
        FROM resolved
        """
    ).fetchall()
    images, labelled, stream, stream_labelled, waiting, orphans, unknown = map(int, row)
    per_class = dict(
        connection.execute(
            "SELECT class, count(*) FROM resolved WHERE row IS NOT NULL AND class IS NOT NULL GROUP BY class"
        ).fetchall()
    )
    return Summary(
        snapshot=snapshot,
        images=images,
        labelled=labelled,
        stream_images=stream,
        stream_labelled=stream_labelled,
        fresh_labelled=stream_labelled if fresh is None else fresh,
        waiting_for_label=waiting,
        waiting_for_image=orphans,
        unknown_labels=unknown,
        classes=tuple(
            ClassCount(name, int(per_class.get(index, 0))) for index, name in enumerate(classes)
        ),
        versions=versions,
    )


def count_versions(
    connection: Any, window: int, answered_before: pa.Array
) -> tuple[VersionAccuracy, ...]:
    """Count by version, leaving out the images in ``answered_before``; ``resolved`` must be defined."""
    with _registered(connection, "answered_before", answered_before):
        rows = connection.execute(
            """
            WITH answers AS (
                SELECT id, p_version, p_time, class, (p_label = class)::INTEGER AS correct
                FROM resolved ANTI JOIN answered_before USING (id) WHERE p_time IS NOT NULL
            ), newest AS (
                SELECT p_version, correct FROM answers WHERE class IS NOT NULL
                ORDER BY p_time DESC, id DESC LIMIT ?
            ), judged AS (
                SELECT p_version, count(*) AS labelled, sum(correct) AS correct FROM newest GROUP BY p_version
            ), answered AS (
                SELECT p_version, count(*) AS answered FROM answers GROUP BY p_version
            )
            SELECT p_version, coalesce(labelled, 0), coalesce(correct, 0), answered
            FROM answered LEFT JOIN judged USING (p_version) ORDER BY p_version
            """,
            [window],
        ).fetchall()
    return tuple(VersionAccuracy(*map(int, row)) for row in rows)


def count_unanswered(connection: Any, received_since: datetime) -> int:
    """Stream images received at or after a time that no prediction names; ``joined`` must be defined."""
    ((count,),) = connection.execute(
        "SELECT count(*) FROM joined WHERE row IS NOT NULL AND origin = 1 AND p_time IS NULL AND i_received >= ?",
        [round(received_since.timestamp() * 1e6)],
    ).fetchall()
    return int(count)


def fresh_count(connection: Any, labelled_before: pa.Array) -> int:
    """Labelled stream samples whose id is not in ``labelled_before``; ``resolved`` must be defined."""
    with _registered(connection, "labelled_before", labelled_before):
        ((count,),) = connection.execute(
            """
            SELECT count(*) FROM resolved ANTI JOIN labelled_before USING (id)
            WHERE row IS NOT NULL AND origin = 1 AND class IS NOT NULL
            """
        ).fetchall()
    return int(count)


@contextmanager
def _registered(connection: Any, name: str, ids: pa.Array) -> Iterator[None]:
    connection.register(name, pa.table({"id": ids}))
    try:
        yield
    finally:
        connection.unregister(name)
