"""Entering a subscription, or a connection, that comes to nothing: it leaves no thread and holds no message."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hemline_broker import Closed, Message, NotFound, connect
from hemline_broker.testing import Harness


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Harness:
    if request.param == "kafka":
        return Harness(str(request.getfixturevalue("kafka_url")))
    return Harness(f"sqlite:///{tmp_path}/broker.db")


def _threads(prefix: str) -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith(prefix)]


@pytest.fixture(autouse=True)
def slow_starts(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Threads take note of nothing before this is set: so that there is time to cancel."""
    go = threading.Event()
    go.set()
    run = threading.Thread.run

    def wait_and_run(self: threading.Thread) -> None:
        if self.name.startswith(("consumer", "sqlite writer")):
            go.wait(60)
        run(self)

    monkeypatch.setattr(threading.Thread, "run", wait_and_run)
    yield go
    go.set()


async def test_a_cancelled_entry_leaves_no_thread(
    harness: Harness, slow_starts: threading.Event
) -> None:
    """And what another consumer would get is not held back."""
    async with harness.topic("group") as (broker, topic):
        await broker.send(topic, Message(b"x"))
        subscription = broker.subscribe(topic, group="group")
        slow_starts.clear()
        entering = asyncio.create_task(subscription.__aenter__())
        await harness.until(lambda: bool(_threads(f"consumer {topic}")))
        entering.cancel()
        await asyncio.sleep(0.05)
        slow_starts.set()
        with pytest.raises(asyncio.CancelledError):
            await entering
        assert not _threads(f"consumer {topic}")
        with pytest.raises(Closed, match="call subscribe again"):
            await subscription.__aenter__()
        async with broker.subscribe(topic, group="group") as other:
            assert (await harness.one(other)).message.data == b"x"


async def test_a_broker_that_closes_while_a_subscription_is_entered(
    harness: Harness, slow_starts: threading.Event
) -> None:
    async with harness.topic("group") as (broker, topic):
        slow_starts.clear()
        entering = asyncio.create_task(broker.subscribe(topic, group="group").__aenter__())
        await harness.until(lambda: bool(_threads(f"consumer {topic}")))
        slow_starts.set()
        await broker.close()
        with pytest.raises(Closed):
            await entering
        await harness.until(lambda: not _threads(f"consumer {topic}"))


async def test_a_cancelled_connection_leaves_no_thread(
    tmp_path: Path, slow_starts: threading.Event
) -> None:
    harness = Harness(f"sqlite:///{tmp_path}/broker.db")
    slow_starts.clear()
    before = set(_threads("sqlite writer"))
    connecting = asyncio.create_task(harness.connect().__aenter__())
    await harness.until(lambda: bool(set(_threads("sqlite writer")) - before))
    connecting.cancel()
    await asyncio.sleep(0.05)
    slow_starts.set()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert not set(_threads("sqlite writer")) - before


async def test_entries_that_fail_are_not_gathered() -> None:
    """A service that waits for its topic by entering again and again."""
    async with connect("memory:") as broker:
        for _ in range(3):
            with pytest.raises(NotFound):
                async with broker.subscribe("topic", group="group"):
                    pass
        assert not broker._subscriptions
