"""The SQLite driver."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from hemline_broker._delivery import Delivery
from hemline_broker._driver import Capability, Sink, Source, Start, TopicInfo
from hemline_broker._errors import BrokerError, Unavailable
from hemline_broker._message import Message, Receipt
from hemline_broker._sqlite._database import all_or_nothing, transaction
from hemline_broker._sqlite._group import group_lag
from hemline_broker._sqlite._settings import Settings
from hemline_broker._sqlite._source import SqliteSource
from hemline_broker._sqlite._writer import Writer, insert_all, no_such_topic
from hemline_broker._url import BrokerURL

IN_MEMORY = frozenset(
    {
        Capability.OLDEST,
        Capability.LAG,
        Capability.ORDERED,
        Capability.DURABLE_ATTEMPTS,
        Capability.TRANSACTIONS,
    }
)
IN_A_FILE = IN_MEMORY | {Capability.PERSISTENT, Capability.SHARED}


class SqliteDriver:
    """See `hemline_broker._driver.Driver`."""

    max_message_bytes = 900_000_000  # SQLite's own limit of a blob is 1e9 bytes

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._writer = Writer(settings)
        self.capabilities = IN_MEMORY if settings.beside is None else IN_A_FILE

    async def start(self) -> None:
        """Open the database."""
        await self._writer.start()

    async def ensure(
        self, topic: str, group: str | None, partitions: int, start: Start, ordered: bool
    ) -> None:
        """Insert the rows that are missing."""

        def make(connection: sqlite3.Connection) -> None:
            # Most services call this on what exists: reading first spares them the write lock.
            if _ids(connection, topic, group) is None:
                with transaction(connection):
                    connection.execute("INSERT OR IGNORE INTO topics (name) VALUES (?)", (topic,))
                    if group is not None:
                        _make_group(connection, topic, group, start)

        await self._writer.call(make)

    async def send(
        self, topic: str, messages: Sequence[Message], timeout: float
    ) -> Sequence[Receipt | BrokerError]:
        """Hand them to the writer."""
        try:
            async with asyncio.timeout(timeout):
                return await self._writer.send(topic, messages)
        except TimeoutError:
            raise Unavailable(
                f"{len(messages)} message(s) to {topic!r} not written within {timeout:g} s; they may still be"
            ) from None

    async def subscribe(
        self, topic: str, group: str, start: Start, sink: Sink, limits: tuple[int, int]
    ) -> Source:
        """Make the group if need be and start its thread."""

        def join(connection: sqlite3.Connection) -> tuple[int, int]:
            with transaction(connection):
                _make_group(connection, topic, group, start)
            ids = _ids(connection, topic, group)
            if ids is None:
                raise no_such_topic(topic)
            return ids

        topic_id, group_id = await self._writer.call(join)
        source = SqliteSource(self._settings, topic, topic_id, group_id, sink, limits[0])
        await source.start()
        return source

    async def transact(
        self,
        outputs: Mapping[str, Sequence[Message]],
        source: Source | None,
        deliveries: Sequence[Delivery],
        timeout: float,
    ) -> None:
        """On the consumer's connection, which owns the claims; on the writer's without one."""
        deadline = time.monotonic() + timeout
        if isinstance(source, SqliteSource):
            await source.transact(outputs, deliveries, deadline)
            return

        def write(connection: sqlite3.Connection) -> None:
            with all_or_nothing(connection, deadline):
                insert_all(connection, outputs)

        await self._writer.call(write)

    async def forget(self, topic: str, group: str) -> None:
        """Delete its rows."""

        def delete(connection: sqlite3.Connection) -> None:
            ids = _ids(connection, topic, group)
            if ids is not None:
                with transaction(connection):
                    connection.execute("DELETE FROM claims WHERE grp = ?", (ids[1],))
                    connection.execute("DELETE FROM groups WHERE id = ?", (ids[1],))

        await self._writer.call(delete)

    async def exists(self, topic: str) -> bool:
        """Look it up."""
        return await self._writer.call(lambda c: _ids(c, topic, None) is not None)

    async def topics(self, names: Collection[str] | None = None) -> Sequence[TopicInfo]:
        """Look them up."""
        return await self._writer.call(lambda c: _topics(c, names))

    async def ping(self) -> None:
        """Read something."""
        await self._writer.call(lambda c: c.execute("SELECT 1").fetchone())

    def native(self, kind: type[Any]) -> Any:
        """There is no client object: connections belong to their threads."""
        raise TypeError(f"the SQLite driver has no object of type {kind.__name__}")

    async def close(self) -> None:
        """Finish writing."""
        await self._writer.close()


async def open_driver(url: BrokerURL, max_message_bytes: int) -> SqliteDriver:
    """A driver for a `sqlite:` or `memory:` URL."""
    driver = SqliteDriver(Settings.parse(url))
    try:
        await driver.start()
    except BaseException:
        await driver.close()
        raise
    return driver


def _make_group(connection: sqlite3.Connection, topic: str, group: str, start: Start) -> None:
    # The oldest message is number 0 or the first that clean-up has left.
    where = (
        "t.next"
        if start == "new"
        else "coalesce((SELECT min(base) FROM chunks c WHERE c.topic = t.id), t.next)"
    )
    connection.execute(
        f"INSERT OR IGNORE INTO groups (topic, name, cursor) SELECT t.id, ?, {where} FROM topics t WHERE t.name = ?",
        (group, topic),
    )


def _ids(connection: sqlite3.Connection, topic: str, group: str | None) -> tuple[int, int] | None:
    """Ids of the topic and the group (0 without one), if both exist."""
    if group is None:
        row = connection.execute("SELECT id, 0 FROM topics WHERE name = ?", (topic,)).fetchone()
    else:
        row = connection.execute(
            "SELECT t.id, g.id FROM topics t JOIN groups g ON g.topic = t.id WHERE t.name = ? AND g.name = ?",
            (topic, group),
        ).fetchone()
    return (int(row[0]), int(row[1])) if row else None


def _topics(connection: sqlite3.Connection, names: Collection[str] | None) -> list[TopicInfo]:
    found = []
    for identity, name in connection.execute(
        "SELECT id, name FROM topics ORDER BY name"
    ).fetchall():
        if names is not None and name not in names:
            continue
        held = connection.execute(
            "SELECT coalesce(sum(count), 0) FROM chunks WHERE topic = ?", (identity,)
        ).fetchone()[0]
        groups = connection.execute(
            "SELECT id, name FROM groups WHERE topic = ? ORDER BY name", (identity,)
        ).fetchall()
        lags = {group: group_lag(connection, group_id) for group_id, group in groups}
        found.append(TopicInfo(name, 1, int(held), lags))
    return found
