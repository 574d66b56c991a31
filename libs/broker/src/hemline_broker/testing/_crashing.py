# ruff: noqa: S101 - a conformance suite asserts
"""Behaviours when consumers die, come and go."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from hemline_broker import Capability, Delivery, Message
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


# Takes eight messages, says so, and settles them when its input ends.
_SLEEPER = """
import asyncio, sys
from hemline_broker import AckLost, TransactionAborted, connect

async def main(url, topic, end, *target):
    async with connect(url) as broker, broker.subscribe(topic, group="group") as subscription:
        taken = []
        async for delivery in subscription:
            taken.append(delivery)
            if len(taken) == 8:
                break
        print("taken", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        try:
            if end == "ack":
                for delivery in taken:
                    delivery.ack()
                await subscription.settled()
            else:
                async with broker.transaction(subscription) as transaction:
                    transaction.send_many(*target, [delivery.message for delivery in taken])
                    transaction.ack(taken)
            print("settled", flush=True)
        except AckLost as error:
            print("lost", *error.ids, flush=True)
        except TransactionAborted:
            print("aborted", flush=True)

asyncio.run(main(*sys.argv[1:]))
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
            # What was acknowledged stays away, where acks need not wait for those before them in a partition.
            assert Capability.PARTITIONS in broker.capabilities or seen == wanted

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
            harness.with_options(harness.short_lease).connect() as another,
        ):
            await broker.send(topic, Message(b"first"))
            async with broker.subscribe(topic, group="group") as subscription:
                delivery = await harness.one(subscription)
                # Whoever waits for the messages of the dead would get it.
                async with another.subscribe(topic, group="group") as heir:
                    taken = asyncio.create_task(harness.one(heir))
                    await asyncio.sleep(harness.hold)
                    assert not taken.done()
                    taken.cancel()
                    await asyncio.gather(taken, return_exceptions=True)
                assert not delivery.lease.lost
                delivery.ack()
                await subscription.settled()
                await broker.send(topic, Message(b"second"))
                other = await harness.one(subscription)
                assert (other.message.data, other.attempt) == (b"second", 1)

    @named("Watermill TestReconnect", "Dapr Kafka brokers killed")
    @needs(RESTART)
    async def test_restart(self, harness: Harness) -> None:
        """A restart of the broker loses nothing that was confirmed and repeats nothing that was settled."""
        if harness.restart is None:
            raise AssertionError("run without a way to restart the backend")
        async with harness.topic("group", "late") as (broker, topic):
            seen: list[bytes] = []
            go_on = asyncio.Event()

            async def consume() -> None:
                async with broker.subscribe(topic, group="group", in_flight=10) as subscription:
                    async for delivery in subscription:
                        seen.append(delivery.message.data)
                        delivery.ack()
                        if len(seen) == 30:
                            await subscription.settled()
                            settled.set()
                            await go_on.wait()

            settled = asyncio.Event()
            task = asyncio.create_task(consume())
            try:
                await broker.send_many(topic, numbered(100))
                async with asyncio.timeout(harness.patience):
                    await settled.wait()
                before = set(seen)
                # Most of what is confirmed by now lies with the broker alone.
                await harness.restart()
                go_on.set()
                await broker.send_many(topic, numbered(100, 100), timeout=2 * harness.patience)
                await harness.until(lambda: len(set(seen)) == 200)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            assert sorted(map(int, set(seen))) == list(range(200))
            assert not before.intersection(seen[30:])
            # A group that had read nothing has everything before it, what was sent before the restart included.
            async with harness.connect() as other, other.subscribe(topic, group="late") as late:
                taken = await harness.take(late, 200)
                assert {int(body) for body in bodies(taken)} == set(range(200))

    @named("C4", "C17")
    @needs(Capability.SHARED)
    async def test_ack_of_a_lost_lease(self, harness: Harness) -> None:
        """An ack after the message went to another consumer is reported, by the message's id or its position."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(8))
            async with (
                sleeper(harness, "ack", topic) as wake,
                harness.with_options(harness.short_lease).connect() as other,
                AsyncExitStack() as stack,
            ):
                # A backend may offer them to the sleeper, too: to be sure that somebody else gets one, there are many.
                heirs = [
                    await stack.enter_async_context(other.subscribe(topic, group="group"))
                    for _ in range(7)
                ]
                theirs = await harness.first(heirs)
                outcome, *lost = await wake()
                theirs.ack()
            assert outcome == "lost"
            assert {theirs.message.id, theirs.position}.intersection(lost)


@asynccontextmanager
async def sleeper(
    harness: Harness, end: str, topic: str, *arguments: str
) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """A consumer of eight messages whose process is stopped, as a paused machine is.

    Args:
        harness: where.
        end: what it does when it wakes up: "ack", or "transact" with the topic to which it copies.
        topic: that it consumes with the group "group".
        arguments: for its end.

    Yields:
        what wakes it up and returns what it then says: an outcome, and the ids or positions of lost acks.
    """
    url = harness.with_options(harness.short_lease).url
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SLEEPER, url, topic, end, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    if process.stdin is None or process.stdout is None:
        raise AssertionError("no pipes")
    stdin, stdout = process.stdin, process.stdout

    async def wake() -> list[str]:
        stdin.close()
        process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(2 * harness.patience):
            return (await stdout.readline()).decode().split()

    try:
        async with asyncio.timeout(2 * harness.patience):
            assert await stdout.readline() == b"taken\n"
        process.send_signal(signal.SIGSTOP)
        yield wake
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
