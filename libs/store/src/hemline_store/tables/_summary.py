"""Counts to decide by, over the joined tables."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hemline_store._snapshot import Snapshot

__all__ = ["ClassCount", "Summary", "VersionAccuracy", "fresh_count", "summarise"]


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Labelled samples of one class."""

    name: str
    labelled: int


@dataclass(frozen=True, slots=True)
class VersionAccuracy:
    """How one model version did: ``labelled`` and ``correct`` within the window, ``answered`` in all."""

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
    connection: Any, snapshot: Snapshot, classes: tuple[str, ...], window: int, fresh: int | None
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
        versions=_versions(connection, window),
    )


def _versions(connection: Any, window: int) -> tuple[VersionAccuracy, ...]:
    rows = connection.execute(
        """
        WITH newest AS (
            SELECT p_version, (p_label = class)::INTEGER AS correct
            FROM resolved WHERE p_time IS NOT NULL AND class IS NOT NULL
            ORDER BY p_time DESC, id DESC LIMIT ?
        ), judged AS (
            SELECT p_version, count(*) AS labelled, sum(correct) AS correct FROM newest GROUP BY p_version
        ), answered AS (
            SELECT p_version, count(*) AS answered FROM joined WHERE p_time IS NOT NULL GROUP BY p_version
        )
        SELECT p_version, coalesce(labelled, 0), coalesce(correct, 0), answered
        FROM answered LEFT JOIN judged USING (p_version) ORDER BY p_version
        """,
        [window],
    ).fetchall()
    return tuple(VersionAccuracy(*map(int, row)) for row in rows)


def fresh_count(connection: Any, labelled_before: pa.Array) -> int:
    """Labelled stream samples whose id is not among ``labelled_before``."""
    connection.register("labelled_before", pa.table({"id": labelled_before}))
    try:
        ((count,),) = connection.execute(
            """
            SELECT count(*) FROM resolved ANTI JOIN labelled_before USING (id)
            WHERE row IS NOT NULL AND origin = 1 AND class IS NOT NULL
            """
        ).fetchall()
    finally:
        connection.unregister("labelled_before")
    return int(count)
