"""Attempts and failures where the backend has a place for them: they outlive a close at any moment, and a kill."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from hemline_broker import BrokerError, Delivery, Message, Observer, Receipt, Retry, connect
from hemline_broker._deadletter import Undertaker
from hemline_broker.testing import Harness


@pytest.fixture(params=["sqlite", "memory"])
async def harness(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    url = f"sqlite:///{tmp_path}/broker.db" if request.param == "sqlite" else "memory:attempts"
    async with connect(url):
        yield Harness(url, quiet=0.2)


async def again(harness: Harness, topic: str) -> tuple[int, int]:
    """Attempt and failures of the topic's one message as its next consumer sees them."""
    async with harness.connect() as broker, broker.subscribe(topic, group="group") as subscription:
        delivery = await harness.one(subscription)
        delivery.ack()
        return delivery.attempt, delivery.failures


@pytest.mark.parametrize("key", ["k", None])
@pytest.mark.parametrize("drain", [0.0, 0.2])
async def test_a_close_while_a_failed_message_waits_for_its_retry(
    harness: Harness, key: str | None, drain: float
) -> None:
    """With a key it keeps its place in `run`, without one it is parked: neither forgets."""
    async with harness.topic("group") as (broker, topic):
        await broker.send(topic, Message(b"x", key=key))
        calls = 0

        async def handle(_: Delivery) -> None:
            nonlocal calls
            calls += 1
            raise RuntimeError("simulated")

        retry = Retry(attempts=None, delay=3600)
        async with broker.subscribe(topic, group="group", retry=retry) as subscription:
            for _ in range(2):
                (await harness.one(subscription)).nack()
            runner = asyncio.create_task(subscription.run(handle))
            await harness.until(lambda: calls == 1)
            await subscription.close(drain)
            await runner
    assert await again(harness, topic) == (4, 3)


async def test_a_handler_that_fails_while_the_subscription_drains(harness: Harness) -> None:
    async with harness.topic("group") as (broker, topic):
        await broker.send(topic, Message(b"x", key="k"))
        async with broker.subscribe(topic, group="group") as subscription:
            delivery = await harness.one(subscription)
            asyncio.get_running_loop().call_later(0.05, delivery.nack)
            await subscription.close(drain=harness.patience)
    assert await again(harness, topic) == (2, 1)


async def test_a_close_while_the_dead_letter_is_on_its_way(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context ends at once: the letter is cut off, and the message is as far as it was."""
    async with harness.topic("group") as (broker, topic):
        await broker.ensure("dead")
        await broker.send(topic, Message(b"x"))
        under_way, cut_off = asyncio.Event(), asyncio.Event()

        async def send(*_: object) -> Sequence[Receipt | BrokerError]:
            under_way.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cut_off.set()
                raise
            raise AssertionError("unreachable")

        retry = Retry(attempts=2)
        async with broker.subscribe(
            topic, group="group", retry=retry, dead_letter="dead"
        ) as subscription:
            (await harness.one(subscription)).nack()
            monkeypatch.setattr(broker._driver, "send", send)
            (await harness.one(subscription)).nack()
            await asyncio.wait_for(under_way.wait(), harness.patience)
        assert cut_off.is_set()
        monkeypatch.undo()
    assert await again(harness, topic) == (3, 2)


@pytest.mark.parametrize("end", ["reject", "last nack"])
async def test_a_settlement_after_the_close(harness: Harness, end: str) -> None:
    """The message is for others by then: no dead letter is sent, nor does anything stay at work on it."""
    async with harness.topic("group") as (broker, topic):
        await broker.ensure("dead")
        await broker.send_many(topic, [Message(b"x"), Message(b"y")])
        async with broker.subscribe(
            topic, group="group", retry=Retry(attempts=1), dead_letter="dead"
        ) as subscription:
            taken = await harness.take(subscription, 2)
        settle = [partial(each.reject, "late") if end == "reject" else each.nack for each in taken]
        tasks = asyncio.all_tasks()
        settle[0]()
        assert asyncio.all_tasks() == tasks
        async with broker.subscribe(topic, group="group") as other:
            for delivery in await harness.take(other, 2):
                delivery.ack()
            await other.settled()
        (dead,) = await broker.topics(["dead"])
        assert dead.messages == 0
    tasks = asyncio.all_tasks()
    settle[1]()
    assert asyncio.all_tasks() == tasks


async def test_a_dead_letter_on_a_closed_broker(harness: Harness) -> None:
    """Nobody will open it again: there is nothing to try for ever."""
    async with harness.topic("group") as (broker, topic):
        await broker.ensure("dead")
        await broker.send(topic, Message(b"x"))
        async with broker.subscribe(topic, group="group") as subscription:
            delivery = await harness.one(subscription)
        driver = broker._driver
    outcomes: list[bool] = []
    undertaker = Undertaker(driver, "dead", Observer())
    undertaker.take(delivery, "rejected", "late", lambda _, done: outcomes.append(done))
    await asyncio.wait_for(undertaker.finish(), harness.patience)
    assert outcomes == [False]


async def test_what_a_cancelled_run_held_when_all_closes(harness: Harness) -> None:
    async with harness.topic("group") as (broker, topic):
        await broker.send(topic, Message(b"x", key="k"))
        async with broker.subscribe(topic, group="group") as subscription:
            (await harness.one(subscription)).nack()
            entered = asyncio.Event()

            async def handle(_: Delivery) -> None:
                entered.set()
                await asyncio.Event().wait()

            runner = asyncio.create_task(subscription.run(handle))
            await asyncio.wait_for(entered.wait(), harness.patience)
            runner.cancel()
            await subscription.close()
            await asyncio.gather(runner, return_exceptions=True)
    # Its second attempt was cut off, which is no failure.
    assert await again(harness, topic) == (3, 1)


# Fails at its message three times, says so, and waits to be killed.
_VICTIM = """
import asyncio, sys
from hemline_broker import Retry, connect

async def main(url, topic):
    async with connect(url) as broker, broker.subscribe(topic, group="group") as subscription:
        async for delivery in subscription:
            if delivery.failures == 3:
                await subscription.settled()
                print("ready", flush=True)
                await asyncio.Event().wait()
            delivery.nack()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_kill(tmp_path: Path) -> None:
    """What had failed before is durable as acks are; the attempt that died counts, as no failure."""
    harness = Harness(f"sqlite:///{tmp_path}/broker.db")
    async with harness.topic("group") as (broker, topic):
        await broker.send(topic, Message(b"x"))
        victim = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _VICTIM, harness.url, topic), stdout=asyncio.subprocess.PIPE
        )
        try:
            assert victim.stdout is not None
            async with asyncio.timeout(harness.patience):
                assert await victim.stdout.readline() == b"ready\n"
        finally:
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
    assert await again(harness, topic) == (5, 3)
