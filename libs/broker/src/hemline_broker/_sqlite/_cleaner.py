"""Deletes messages that nobody needs, a few at a time."""

from __future__ import annotations

import sqlite3
import time

from hemline_broker._sqlite._database import transaction
from hemline_broker._sqlite._settings import Settings

_AT_ONCE = 256


def clean(connection: sqlite3.Connection, settings: Settings) -> int:
    """Delete what is too old, and what every group is done with beyond what is kept; returns chunks deleted."""
    deleted = 0
    for (topic,) in connection.execute("SELECT id FROM topics").fetchall():
        while number := _clean_topic(connection, topic, settings):
            deleted += number
            if number < _AT_ONCE:
                break
    return deleted


def _clean_topic(connection: sqlite3.Connection, topic: int, settings: Settings) -> int:
    now = time.time()
    done = _done(connection, topic)
    # All three conditions hold for a run at the old end: numbers and times grow together.
    surplus = 0.0
    if done:
        held = connection.execute(
            "SELECT coalesce(sum(size), 0) FROM chunks WHERE topic = ? AND base + count <= ?",
            (topic, done),
        ).fetchone()[0]
        surplus = held - settings.keep_bytes
    doomed = []
    for identity, base, count, size, sent in connection.execute(
        "SELECT id, base, count, size, sent FROM chunks WHERE topic = ? ORDER BY base LIMIT ?",
        (topic, _AT_ONCE),
    ):
        consumed = base + count <= done
        if not (
            sent < now - settings.retention_s
            or (consumed and (sent < now - settings.keep_s or surplus > 0))
        ):
            break
        surplus -= size
        doomed.append((identity,))
    if doomed:
        with transaction(connection):
            connection.executemany("DELETE FROM chunks WHERE id = ?", doomed)
    return len(doomed)


def _done(connection: sqlite3.Connection, topic: int) -> int:
    """The number below which every group is done; 0 when there is no group, which may yet come."""
    row = connection.execute(
        "SELECT min(min(g.cursor, coalesce((SELECT min(first) FROM claims WHERE grp = g.id), g.cursor))) "
        "FROM groups g WHERE g.topic = ?",
        (topic,),
    ).fetchone()
    return int(row[0]) if row[0] is not None else 0
