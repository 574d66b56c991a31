"""The rows behind one consumer of one group. Runs on the consumer's thread, inside its transactions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence

from hemline_broker._delivery import OVERHEAD_BYTES
from hemline_broker._message import Message
from hemline_broker._sqlite._chunks import CHUNK_MESSAGES, decode
from hemline_broker._sqlite._claims import Claim, left

_TAKEN_OVER_AT_ONCE = 64


class Group:
    """Reads and writes for one consumer."""

    def __init__(
        self, connection: sqlite3.Connection, topic: str, topic_id: int, group_id: int, me: str
    ) -> None:
        self._db = connection
        self._prefix = f"{topic}/0/"
        self._topic = topic_id
        self._group = group_id
        self._me = me
        self._last_chunk: tuple[int, list[Message]] | None = None

    # --- without a transaction -------------------------------------------------------------------------------

    def version(self) -> int:
        """Changes when another connection has committed something."""
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version

    def waiting(self) -> bool:
        """Whether there is something to claim."""
        row = self._db.execute(
            "SELECT t.next > g.cursor OR EXISTS "
            "(SELECT 1 FROM claims WHERE grp = g.id AND owner IS NULL) "
            "FROM groups g JOIN topics t ON t.id = g.topic WHERE g.id = ?",
            (self._group,),
        ).fetchone()
        return row is not None and bool(row[0])

    def others(self) -> list[tuple[str, float]]:
        """Other consumers that hold claims of this group, and when each was last seen (0 for never)."""
        return self._db.execute(
            "SELECT DISTINCT c.owner, coalesce(s.seen, 0) FROM claims c "
            "LEFT JOIN consumers s ON s.name = c.owner "
            "WHERE c.grp = ? AND c.owner IS NOT NULL AND c.owner <> ?",
            (self._group, self._me),
        ).fetchall()

    def lag(self) -> int:
        """Messages of the group not acknowledged."""
        return group_lag(self._db, self._group)

    def read(self, claim: Claim) -> Iterable[tuple[int, Message]]:
        """The messages of a claim that are not done, with their numbers."""
        for base, _, _ in self._chunks(claim.first, claim.last):
            messages = self._messages(base)
            start = max(claim.first - base, 0)
            for place, message in enumerate(messages[start : claim.last - base], base + start):
                if place not in claim.done:
                    yield place, message

    # --- inside a transaction --------------------------------------------------------------------------------

    def sign(self) -> None:
        """Give a sign of life."""
        self._db.execute(
            "INSERT INTO consumers (name, seen) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET seen = excluded.seen",
            (self._me, time.time()),
        )

    def leave(self) -> None:
        """No longer a consumer."""
        self._db.execute("DELETE FROM consumers WHERE name = ?", (self._me,))

    def disown(self, owner: str) -> None:
        """Make the claims of a dead consumer free for all, in every group."""
        self._db.execute(
            "UPDATE claims SET owner = NULL, attempt = attempt + 1 WHERE owner = ?", (owner,)
        )
        self._db.execute("DELETE FROM consumers WHERE name = ?", (owner,))

    def mine(self, claim: Claim) -> bool:
        """Whether a claim is still this consumer's."""
        query = "SELECT 1 FROM claims WHERE id = ? AND owner = ?"
        return self._db.execute(query, (claim.id, self._me)).fetchone() is not None

    def store(self, claim: Claim) -> bool:
        """Make a claim's progress durable; False when it belongs to somebody else by now."""
        claim.advance()
        values: tuple[object, ...] = ()
        if claim.finished:
            query = "DELETE FROM claims WHERE id = ? AND owner = ?"
        else:
            query = "UPDATE claims SET first = ?1, state = ?2 WHERE id = ?3 AND owner = ?4"
            values = (claim.first, claim.state())
        return self._db.execute(query, (*values, claim.id, self._me)).rowcount == 1

    def release(self, claim: Claim) -> bool:
        """Give a claim back; False when it belongs to somebody else by now."""
        if claim.finished:
            return self.store(claim)
        query = "UPDATE claims SET owner = NULL, first = ?, state = ? WHERE id = ? AND owner = ?"
        values = (claim.first, claim.state(), claim.id, self._me)
        return self._db.execute(query, values).rowcount == 1

    def claim(self, count: int, size: int) -> tuple[list[Claim], bool]:
        """Claim up to so many messages and bytes; also whether that was all there is."""
        taken: list[Claim] = []
        free = self._db.execute(
            "SELECT id, first, last, attempt, state FROM claims WHERE grp = ? AND owner IS NULL ORDER BY first LIMIT ?",
            (self._group, _TAKEN_OVER_AT_ONCE),
        ).fetchall()
        for identity, first, last, attempt, state in free:
            if count <= 0 or size <= 0:
                return taken, False
            _, end, used = self._plan(first, last, count, size)
            if end < last:
                self._db.execute("UPDATE claims SET first = ? WHERE id = ?", (end, identity))
                taken.append(self._insert(first, end, attempt, state))
            else:
                self._db.execute("UPDATE claims SET owner = ? WHERE id = ?", (self._me, identity))
                taken.append(Claim(self._prefix, identity, first, last, attempt, state))
            count -= end - first
            size -= used
        if len(free) == _TAKEN_OVER_AT_ONCE or count <= 0 or size <= 0:
            return taken, False
        cursor, next_number = self._db.execute(
            "SELECT g.cursor, t.next FROM groups g JOIN topics t ON t.id = g.topic WHERE g.id = ?",
            (self._group,),
        ).fetchone()
        if cursor < next_number:
            first, end, _ = self._plan(cursor, next_number, count, size)
            self._db.execute("UPDATE groups SET cursor = ? WHERE id = ?", (end, self._group))
            if first < end:
                taken.append(self._insert(first, end, 1, None))
            return taken, end == next_number
        return taken, True

    # --- inside ----------------------------------------------------------------------------------------------

    def _insert(self, first: int, last: int, attempt: int, state: str | None) -> Claim:
        inserted = self._db.execute(
            "INSERT INTO claims (grp, owner, first, last, attempt, state) VALUES (?, ?, ?, ?, ?, ?)",
            (self._group, self._me, first, last, attempt, state),
        )
        return Claim(self._prefix, int(inserted.lastrowid or 0), first, last, attempt, state)

    def _plan(self, first: int, last: int, count: int, size: int) -> tuple[int, int, int]:
        """Where to begin and end in a range to stay within count and size, and the bytes that makes.

        At least one message is taken. What retention has deleted is skipped.
        """
        used = 0
        begin: int | None = None
        end = last
        for base, held, chunk_size in self._chunks(first, last):
            start = max(base, first)
            if begin is None:
                begin = start
            stop = min(base + held, last, start + count)
            whole = chunk_size + held * OVERHEAD_BYTES
            if used + whole > size:
                stop, whole = self._fit(base, start, stop, size - used)
            used += whole
            count -= stop - start
            if count <= 0 or used >= size:
                end = stop
                break
        return (last if begin is None else begin), end, used

    def _fit(self, base: int, start: int, stop: int, room: int) -> tuple[int, int]:
        """Where to stop in a chunk that is not sure to fit, and the bytes up to there; the last may go beyond."""
        used = 0
        for number, message in enumerate(self._messages(base)[start - base : stop - base], start):
            used += len(message.data) + OVERHEAD_BYTES
            if used >= room:
                return number + 1, used
        return stop, used

    def _chunks(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """Base, count and size of the chunks that overlap a range. Reads the index alone."""
        return self._db.execute(
            "SELECT base, count, size FROM chunks "
            "WHERE topic = ? AND base > ? AND base < ? AND base + count > ? ORDER BY base LIMIT 2048",
            (self._topic, first - CHUNK_MESSAGES, last, first),
        ).fetchall()

    def _messages(self, base: int) -> Sequence[Message]:
        if self._last_chunk is not None and self._last_chunk[0] == base:
            return self._last_chunk[1]
        row = self._db.execute(
            "SELECT meta, data FROM chunks WHERE topic = ? AND base = ?", (self._topic, base)
        ).fetchone()
        if row is None:
            return ()
        messages = decode(*row)
        # A chunk is often read in parts; a large single message is not worth holding on to.
        self._last_chunk = (base, messages) if len(messages) > 1 else None
        return messages


def group_lag(connection: sqlite3.Connection, group: int) -> int:
    """Messages of a group not acknowledged."""
    row = connection.execute(
        "SELECT t.next - g.cursor FROM groups g JOIN topics t ON t.id = g.topic WHERE g.id = ?",
        (group,),
    ).fetchone()
    claims = connection.execute("SELECT first, last, state FROM claims WHERE grp = ?", (group,))
    return (int(row[0]) if row else 0) + sum(left(*claim) for claim in claims)
