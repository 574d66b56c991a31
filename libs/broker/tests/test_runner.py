"""Cancellation in and of `Subscription.run`: nothing stays handed out, and nothing that queued behind it is dropped."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest

from hemline_broker import Delivery, Message, Retry, connect
from hemline_broker.testing import Harness


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
