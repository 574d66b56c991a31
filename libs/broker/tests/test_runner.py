"""Cancellation in and of `Subscription.run`: nothing stays handed out, and nothing that queued behind it is dropped.

And its end when the subscription closes: what was given back is for others.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest

from hemline_broker import Delivery, Message, Retry, connect
from hemline_broker.testing import Harness
from hemline_broker.testing._harness import bodies


@pytest.fixture
async def harness() -> AsyncIterator[Harness]:
    url = f"memory:{uuid.uuid4().hex}"
    async with connect(url):
        yield Harness(url)


@pytest.mark.parametrize("key", ["k", None])
async def test_a_handler_that_raises_cancelled_error_has_failed(
    harness: Harness, key: str | None
) -> None:
    """It awaited something that others cancelled: the message comes again, what is behind it is handled."""
    async with harness.topic("group") as (broker, topic):
        await broker.send_many(topic, [Message(b"%d" % n, key=key) for n in range(5)])
        handled: list[bytes] = []
        failures: list[int] = []

        async def handle(delivery: Delivery) -> None:
            if delivery.message.data == b"0":
                failures.append(delivery.failures)
                if delivery.failures == 0:
                    cancelled = asyncio.get_running_loop().create_future()
                    cancelled.cancel()
                    await cancelled
            handled.append(delivery.message.data)

        retry = Retry(attempts=3, delay=0.01)
        async with broker.subscribe(topic, group="group", retry=retry) as subscription:
            runner = asyncio.create_task(subscription.run(handle))
            await harness.until_done(subscription, lambda: len(handled) == 5)
            await subscription.close()
            await runner
        assert failures == [0, 1]
        assert sorted(handled) == [b"0", b"1", b"2", b"3", b"4"]
        assert key is None or handled == sorted(handled)


@pytest.mark.parametrize("failing", [False, True])
async def test_a_run_that_is_cancelled_can_be_started_again(
    harness: Harness, failing: bool
) -> None:
    """What was in hand, queued behind it, waited for its retry or for a slot is handled, in the order of its key."""
    async with harness.topic("group") as (broker, topic):
        keys = ("a", "b", "c", None)
        messages = [Message(b"%d" % n, key=keys[n % 4]) for n in range(12)]
        await broker.send_many(topic, messages)
        started = 0

        async def stuck(_: Delivery) -> None:
            nonlocal started
            started += 1
            if failing:
                raise RuntimeError("waits for its retry from here on")
            await asyncio.Event().wait()

        order: dict[str | None, list[int]] = {}
        attempts: list[int] = []

        async def handle(delivery: Delivery) -> None:
            order.setdefault(delivery.message.key, []).append(int(delivery.message.data))
            attempts.append(delivery.attempt)

        retry = Retry(attempts=None, delay=3600 if failing else 0.01)
        async with broker.subscribe(topic, group="group", retry=retry) as subscription:
            for concurrency in (2, 16):
                before = started
                runner = asyncio.create_task(subscription.run(stuck, concurrency=concurrency))
                await harness.until(partial(lambda before: started >= before + 2, before))
                runner.cancel()
                await asyncio.gather(runner, return_exceptions=True)
                if failing:
                    break
            runner = asyncio.create_task(subscription.run(handle))
            # Without a key, a failed one does not keep its place but is parked until its retry.
            wanted = ("a", "b", "c") if failing else keys
            await harness.until(lambda: all(len(order.get(key, ())) == 3 for key in wanted))
            await subscription.close()
            await runner
        for key in ("a", "b", "c"):
            assert order[key] == [n for n in range(12) if keys[n % 4] == key]
        assert max(attempts) > 1


async def test_no_handler_begins_on_what_was_given_back(harness: Harness) -> None:
    """One that has acked goes on after the close; what queued behind it for its key is another consumer's by then."""
    async with harness.topic("group") as (broker, topic):
        await broker.send_many(topic, [Message(b"%d" % n, key="k") for n in range(3)])
        begun: list[bytes] = []
        release = asyncio.Event()

        async def handle(delivery: Delivery) -> None:
            begun.append(delivery.message.data)
            delivery.ack()
            await release.wait()

        async with broker.subscribe(topic, group="group") as subscription:
            runner = asyncio.create_task(subscription.run(handle))
            await harness.until(lambda: len(begun) == 1)
            await subscription.close(drain=0.0)
        async with broker.subscribe(topic, group="group") as other:
            assert bodies(await harness.take(other, 2)) == [b"1", b"2"]
            release.set()
            await asyncio.wait_for(runner, harness.patience)
        assert begun == [b"0"]


@pytest.mark.parametrize("key", ["k", None])
async def test_a_close_ends_a_handler_whose_slot_others_wait_for(
    harness: Harness, key: str | None
) -> None:
    async with harness.topic("group") as (broker, topic):
        keys = (key, "another", None)
        await broker.send_many(topic, [Message(b"x", key=each) for each in keys])
        begun = 0

        async def stuck(_: Delivery) -> None:
            nonlocal begun
            begun += 1
            await asyncio.Event().wait()

        async with broker.subscribe(topic, group="group") as subscription:
            runner = asyncio.create_task(subscription.run(stuck, concurrency=1))
            await harness.until(lambda: begun == 1)
            await subscription.close(drain=0.0)
            await asyncio.wait_for(runner, harness.patience)
        assert begun == 1
        async with broker.subscribe(topic, group="group") as other:
            assert len(await harness.take(other, 3)) == 3


async def test_a_handler_that_turns_its_cancellation_into_a_failure(harness: Harness) -> None:
    """Its message was given back before: there is nothing left to retry, or to wait an hour for."""
    async with harness.topic("group") as (broker, topic):
        await broker.send(topic, Message(b"x", key="k"))
        begun = asyncio.Event()

        async def handle(_: Delivery) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise RuntimeError("cut off") from None

        retry = Retry(attempts=None, delay=3600)
        async with broker.subscribe(topic, group="group", retry=retry) as subscription:
            runner = asyncio.create_task(subscription.run(handle))
            await asyncio.wait_for(begun.wait(), harness.patience)
            await subscription.close(drain=0.0)
            await asyncio.wait_for(runner, harness.patience)
        async with broker.subscribe(topic, group="group") as other:
            assert (await harness.one(other)).failures == 0


@pytest.mark.parametrize("delay", [0.3, 3600])
async def test_a_close_while_the_first_of_a_key_waits_for_its_retry(
    harness: Harness, delay: float
) -> None:
    """It is for others to retry, and so is all that queued behind it: the close waits for none of it."""
    async with harness.topic("group") as (broker, topic):
        await broker.send_many(topic, [Message(b"%d" % n, key="k") for n in range(3)])
        handled: list[tuple[bytes, int]] = []

        async def handle(delivery: Delivery) -> None:
            handled.append((delivery.message.data, delivery.failures))
            if delivery.failures == 0 and delivery.message.data == b"0":
                raise RuntimeError("simulated")

        retry = Retry(attempts=None, delay=delay)
        async with broker.subscribe(topic, group="group", retry=retry) as subscription:
            runner = asyncio.create_task(subscription.run(handle))
            await harness.until(lambda: len(handled) == 1)
            async with asyncio.timeout(harness.patience):
                await subscription.close(drain=2 * harness.patience)
                await runner
        assert handled == [(b"0", 0)]
        async with broker.subscribe(topic, group="group") as other:
            runner = asyncio.create_task(other.run(handle))
            await harness.until_done(other, lambda: len(handled) == 4)
            await other.close()
            await runner
        assert handled[1:] == [(b"0", 1), (b"1", 0), (b"2", 0)]


async def test_a_close_that_is_cancelled_gives_back(harness: Harness) -> None:
    """Who waits no longer for the drain ends it, and leaves nothing held that nobody could give back any more."""
    async with harness.topic("group") as (broker, topic):
        await broker.send(topic, Message(b"x"))
        begun = asyncio.Event()

        async def stuck(_: Delivery) -> None:
            begun.set()
            await asyncio.Event().wait()

        subscription = await broker.subscribe(topic, group="group").__aenter__()
        runner = asyncio.create_task(subscription.run(stuck))
        await asyncio.wait_for(begun.wait(), harness.patience)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await subscription.close(drain=harness.patience)
        await asyncio.wait_for(runner, harness.patience)
        async with broker.subscribe(topic, group="group") as other:
            assert (await harness.one(other)).message.data == b"x"
