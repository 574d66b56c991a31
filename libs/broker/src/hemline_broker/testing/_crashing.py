# ruff: noqa: S101 - a conformance suite asserts
"""Behaviours when consumers die, come and go."""

from __future__ import annotations

import asyncio
import signal
import sys

import pytest

from hemline_broker import AckLost, Capability, Delivery, Message
from hemline_broker.testing._behaviour import RESTART, named, needs
from hemline_broker.testing._harness import Harness, bodies, numbered

# A consumer in a process of its own: acknowledges all but every third message, says so, and waits to be killed.
_VICTIM = """
import asyncio, sys
from hemline_broker import connect

async def main(url, topic, count):
    taken = 0
    async with connect(url) as broker, broker.subscribe(topic, group="group") as subscription:
        async for delivery in subscription:
            taken += 1
            if int(delivery.message.data) % 3:
                delivery.ack()
            if taken == count:
                await subscription.settled()
                print("ready", flush=True)
                await asyncio.Event().wait()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


class Crashing:
    """Mix into a test class that has a fixture `harness`."""

    @named("C1", "C13")
    @needs(Capability.SHARED)
    async def test_kill(self, harness: Harness) -> None:
        """SIGKILL with out-of-order acks loses nothing, and the messages soon go to another consumer."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(90))
            victim = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _VICTIM,
                harness.with_options(harness.short_lease).url,
                topic,
                "90",
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                if victim.stdout is None:
                    raise AssertionError("no pipe")
                async with asyncio.timeout(2 * harness.patience):
                    assert await victim.stdout.readline() == b"ready\n"
            finally:
                victim.send_signal(signal.SIGKILL)
                await victim.wait()
            wanted = {b"%d" % number for number in range(0, 90, 3)}
            seen: set[bytes] = set()
            async with broker.subscribe(topic, group="group") as subscription:

                async def handle(delivery: Delivery) -> None:
                    seen.add(delivery.message.data)

                runner = asyncio.create_task(subscription.run(handle))
                await harness.until_done(subscription, lambda: wanted <= seen)
                await subscription.close()
                await runner
            assert wanted <= seen

    @named("Dapr Kafka rebalance on stop", "C4", "C13")
    async def test_consumers_come_and_go(self, harness: Harness) -> None:
        """With consumers joining and leaving under load nothing is lost, ids stay."""
        async with harness.topic("group", partitions=4) as (broker, topic):
            messages = [Message(b"%d" % n, key=str(n % 50)) for n in range(1500)]
            seen: set[str] = set()

            async def consume() -> None:
                async with broker.subscribe(topic, group="group", in_flight=64) as subscription:
                    async for batch in subscription.batches(16):
                        await asyncio.sleep(0.002)
                        seen.update(each.message.id for each in batch)
                        batch.ack()

            async def send() -> None:
                for start in range(0, len(messages), 50):
                    await broker.send_many(topic, messages[start : start + 50])
                    await asyncio.sleep(0.01)

            tasks = [asyncio.create_task(consume())]
            sender = asyncio.create_task(send())
            try:
                for _ in range(3):
                    await asyncio.sleep(0.3)
                    tasks.append(asyncio.create_task(consume()))
                    await asyncio.sleep(0.3)
                    tasks[0].cancel()
                    await asyncio.gather(tasks.pop(0), return_exceptions=True)
                await sender
                await harness.until(lambda: len(seen) == len(messages))
            finally:
                for task in (sender, *tasks):
                    task.cancel()
                await asyncio.gather(sender, *tasks, return_exceptions=True)
            assert seen == {message.id for message in messages}

    @named("C5")
    async def test_slow_handler(self, harness: Harness) -> None:
        """A handler slower than the backend lets a consumer be silent keeps its message, and its place in the group."""
        async with (
            harness.topic("group") as (_, topic),
            harness.with_options(harness.short_lease).connect() as broker,
        ):
            await broker.send_many(topic, numbered(2))
            async with broker.subscribe(topic, group="group", in_flight=1) as subscription:
                delivery = await harness.one(subscription)
                await asyncio.sleep(harness.hold)
                assert not delivery.lease.lost
                delivery.ack()
                await subscription.settled()
                other = await harness.one(subscription)
                assert {delivery.message.data, other.message.data} == {b"0", b"1"}
                assert (delivery.attempt, other.attempt) == (1, 1)

    @named("Watermill TestReconnect", "Dapr Kafka brokers killed")
    @needs(RESTART)
    async def test_restart(self, harness: Harness) -> None:
        """A restart of the broker loses nothing that was confirmed."""
        if harness.restart is None:
            raise AssertionError("run without a way to restart the backend")
        async with harness.topic("group") as (broker, topic):
            seen: set[bytes] = set()

            async def consume() -> None:
                async with broker.subscribe(topic, group="group") as subscription:
                    async for delivery in subscription:
                        seen.add(delivery.message.data)
                        delivery.ack()

            task = asyncio.create_task(consume())
            try:
                await broker.send_many(topic, numbered(100))
                await harness.until(lambda: len(seen) == 100)
                await harness.restart()
                await broker.send_many(topic, numbered(100, 100), timeout=2 * harness.patience)
                await harness.until(lambda: len(seen) == 200)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert sorted(map(int, seen)) == list(range(200))

    @named("C4", "C17")
    async def test_ack_of_a_lost_lease(self, harness: Harness) -> None:
        """An ack after the message went to another consumer is reported, with the message's id."""
        async with harness.topic("group") as (broker, topic):
            await broker.send(topic, Message(b"x"))
            async with broker.subscribe(topic, group="group") as subscription:
                delivery = await harness.one(subscription)
                delivery.lease.lost = True  # as the driver marks it when it learns of the loss
                delivery.ack()
                with pytest.raises(AckLost) as caught:
                    await subscription.settled()
                assert caught.value.ids == (delivery.message.id,)
                await subscription.settled()
            async with broker.subscribe(topic, group="group") as subscription:
                assert bodies([await harness.one(subscription)]) == [b"x"]
