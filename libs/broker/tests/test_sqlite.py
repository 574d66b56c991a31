"""What only SQLite can get wrong: leases, clean-up, foreign files."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hemline_broker import (
    AckLost,
    BrokerError,
    ClaimCheck,
    Denied,
    InvalidOption,
    Message,
    TransactionAborted,
    Unavailable,
    connect,
)
from hemline_broker._sqlite._claims import Claim
from hemline_broker._sqlite._cleaner import clean
from hemline_broker._sqlite._database import all_or_nothing, open_database
from hemline_broker._sqlite._group import Group
from hemline_broker._sqlite._settings import Settings
from hemline_broker._url import BrokerURL
from hemline_broker.testing import Harness, numbered


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/broker.db"


async def test_a_silent_consumer_loses_its_lease(url: str) -> None:
    """C17 for real: a stopped clock of one consumer, take-over by another, and the late ack is reported."""
    harness = Harness(url)
    async with connect(f"{url}?lease=1") as broker, connect(f"{url}?lease=1") as other:
        await broker.ensure("topic", "group")
        await broker.send("topic", Message(b"x"))
        async with broker.subscribe("topic", group="group") as silent:
            delivery = await harness.one(silent)
            # As if the process had been stopped: its sign of life grows old and no new one is given.
            blocked = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
            silent._source._signed_at = time.monotonic() + 3600  # type: ignore[union-attr]
            await asyncio.sleep(0.1)
            blocked.execute("UPDATE consumers SET seen = seen - 3600")
            blocked.close()
            async with other.subscribe("topic", group="group") as second:
                again = await harness.one(second)
                assert again.message.id == delivery.message.id
                assert again.attempt == 2
                delivery.ack()
                with pytest.raises(AckLost) as caught:
                    await silent.settled()
                assert caught.value.ids == (delivery.message.id,)
                again.ack()
                await second.settled()
                assert await second.lag() == 0


async def test_messages_whose_read_failed_come_all_the_same(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are claimed by then, so nobody else can have them while this consumer lives."""
    read = Group.read
    failures = ["disk I/O error", "database is locked"]

    def failing(self: Group, claim: Claim) -> Iterable[tuple[int, Message]]:
        if failures:
            raise sqlite3.OperationalError(failures.pop())
        return read(self, claim)

    monkeypatch.setattr(Group, "read", failing)
    harness = Harness(url)
    async with connect(url) as broker:
        await broker.ensure("topic", "group")
        await broker.send_many("topic", numbered(3))
        async with broker.subscribe("topic", group="group") as subscription:
            taken = await harness.take(subscription, 3)
            assert not failures
            assert [(each.message.data, each.attempt) for each in taken] == [
                (b"0", 1),
                (b"1", 1),
                (b"2", 1),
            ]
            for each in taken:
                each.ack()
            await subscription.settled()
            assert await subscription.lag() == 0


async def test_failures_survive_a_restart(url: str) -> None:
    """The count of failed deliveries is durable."""
    harness = Harness(url)
    async with connect(url) as broker:
        await broker.ensure("topic", "group")
        await broker.send("topic", Message(b"x"))
        async with broker.subscribe("topic", group="group") as subscription:
            (await harness.one(subscription)).nack()
            (await harness.one(subscription)).nack(delay=60)
    async with connect(url) as broker, broker.subscribe("topic", group="group") as subscription:
        delivery = await harness.one(subscription)
        assert (delivery.attempt, delivery.failures) == (3, 2)


def _clean(url: str) -> int:
    settings = Settings.parse(BrokerURL.parse(url))
    connection = open_database(settings)
    try:
        return clean(connection, settings)
    finally:
        connection.close()


async def test_clean_up(url: str) -> None:
    """Consumed messages go once they are old or too many; unconsumed ones stay until retention."""
    harness = Harness(url)
    async with connect(url) as broker:
        await broker.ensure("topic", "fast")
        await broker.ensure("topic", "slow")
        for start in range(0, 100, 10):
            await broker.send_many("topic", numbered(10, start))
        async with broker.subscribe("topic", group="fast") as subscription:
            for delivery in await harness.take(subscription, 100):
                delivery.ack()
        assert _clean(f"{url}?keep=0") == 0, "the slow group has read nothing"
        async with broker.subscribe("topic", group="slow", in_flight=55) as subscription:
            for delivery in await harness.take(subscription, 55):
                if delivery.message.data != b"33":
                    delivery.ack()
        assert _clean(url) == 0, "young messages are kept"
        assert _clean(f"{url}?keep=0") == 3, "up to the chunk that holds number 33"
        async with broker.subscribe("topic", group="slow") as subscription:
            taken = await harness.take(subscription, 46)
            assert {int(each.message.data) for each in taken} == {33, *range(55, 100)}
        assert _clean(f"{url}?retention=0.000001") == 7
        async with broker.subscribe("topic", group="slow") as subscription:
            await harness.until_done(subscription, lambda: True)


async def test_clean_up_by_bytes(url: str) -> None:
    """Of consumed messages no more than `keep_bytes` are kept."""
    harness = Harness(url)
    async with connect(url) as broker:
        await broker.ensure("topic", "group")
        for _ in range(10):
            await broker.send("topic", Message(bytes(1000)))
        async with broker.subscribe("topic", group="group") as subscription:
            for delivery in await harness.take(subscription, 10):
                delivery.ack()
        assert _clean(f"{url}?keep_bytes=3500") == 7


async def test_not_a_broker_file(tmp_path: Path) -> None:
    """A file of something else is refused with one line, and left as it is."""
    foreign = tmp_path / "notes.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE notes (text)")
    connection.close()
    text = tmp_path / "text.db"
    text.write_text("hello " * 1000)
    for path in (foreign, text, tmp_path / "missing" / "x.db", tmp_path):
        with pytest.raises(InvalidOption):
            async with connect(f"sqlite:///{path}"):
                pass
    assert text.read_text() == "hello " * 1000


async def test_memory_without_a_name_is_private() -> None:
    async with connect("memory:") as first, connect("memory:") as second:
        await first.ensure("topic")
        assert [info.name for info in await second.topics()] == []
        assert [info.name for info in await first.topics()] == ["topic"]


# --- transactions ---------------------------------------------------------------------------------------------


@contextmanager
def _locked(url: str) -> Iterator[None]:
    """Somebody else writes meanwhile."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def test_a_transaction_on_a_locked_file_surely_did_nothing(url: str, tmp_path: Path) -> None:
    """The caller is told so, its deliveries come again, and bodies stored for it go."""
    bodies = tmp_path / "bodies"
    bodies.mkdir()
    harness = Harness(url)
    async with connect(url, claim_check=ClaimCheck(f"file://{bodies}", above=3000)) as broker:
        await broker.ensure("topic", "group")
        await broker.send("topic", Message(b"x"))
        async with broker.subscribe("topic", group="group") as subscription:
            delivery = await harness.one(subscription)
            with _locked(url):
                with pytest.raises(TransactionAborted, match="locked"):
                    async with broker.transaction(subscription, timeout=0.2) as transaction:
                        transaction.ack(delivery)
                        transaction.send("topic", Message(bytes(5000)))
                with pytest.raises(TransactionAborted, match="locked"):
                    async with broker.transaction(timeout=0.2) as transaction:
                        transaction.send("topic", Message(bytes(5000)))
            assert [path for path in bodies.rglob("*") if path.is_file()] == []
            again = await harness.one(subscription)
            assert (again.message.id, again.attempt) == (delivery.message.id, 2)


async def test_a_transaction_that_sends_to_the_topic_it_reads(url: str) -> None:
    """Its consumer sees it although nobody else writes."""
    harness = Harness(url)
    async with connect(url) as broker:
        await broker.ensure("topic", "group")
        await broker.send("topic", Message(b"x"))
        async with broker.subscribe("topic", group="group") as subscription:
            delivery = await harness.one(subscription)
            async with broker.transaction(subscription) as transaction:
                transaction.ack(delivery)
                transaction.send("topic", Message(b"y"))
            assert (await harness.one(subscription)).message.data == b"y"


class _Failing(sqlite3.Connection):
    """Whose COMMIT fails."""

    def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
        if sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (sqlite3.OperationalError("disk I/O error"), TransactionAborted),
        (ValueError("a bug"), TransactionAborted),
        (Denied("no"), Denied),
        (None, Unavailable),
    ],
)
def test_only_a_failed_commit_leaves_open_what_happened(
    error: Exception | None, wanted: type[BrokerError]
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None, factory=_Failing)) as connection:
        with (
            pytest.raises(BrokerError) as caught,
            all_or_nothing(connection, time.monotonic() + 60),
        ):
            if error is not None:
                raise error
        assert type(caught.value) is wanted
        assert not connection.in_transaction
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (10_000,)
