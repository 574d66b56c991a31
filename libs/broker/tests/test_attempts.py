"""Attempts and failures where the backend has a place for them: they outlive a close at any moment, and a kill."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hemline_broker import Delivery, Message, Retry, connect
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


async def test_a_close_while_the_dead_letter_is_on_its_way(harness: Harness) -> None:
    """The context ends at once: the letter is not sent, and the message is as far as it was."""
    async with harness.topic("group") as (broker, topic):
        await broker.ensure("dead")
        await broker.send(topic, Message(b"x"))
        retry = Retry(attempts=2)
        async with broker.subscribe(
            topic, group="group", retry=retry, dead_letter="dead"
        ) as subscription:
            for _ in range(2):
                (await harness.one(subscription)).nack()
        (dead,) = await broker.topics(["dead"])
        assert dead.messages == 0, "the letter was sent after all: this has shown nothing"
    assert await again(harness, topic) == (3, 2)


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
