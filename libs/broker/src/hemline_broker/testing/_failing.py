# ruff: noqa: S101 - a conformance suite asserts
"""Behaviours of retries, dead letters and handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest

from hemline_broker import (
    Broker,
    Delivery,
    Message,
    NotFound,
    Observer,
    Reject,
    Retry,
)
from hemline_broker.testing._behaviour import named
from hemline_broker.testing._harness import Harness, bodies, numbered

_CONTEXT: ContextVar[str] = ContextVar("context")
_FAST = Retry(attempts=3, delay=0.05, factor=1.0)


class Failing:
    """Mix into a test class that has a fixture `harness`."""

    @named("go-cloud TestNack", "Watermill TestResendOnError", "Dapr GCP errors and retry")
    async def test_nack(self, harness: Harness) -> None:
        """Nacked messages come again, counted."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(10))
            async with broker.subscribe(topic, group="group") as subscription:
                for delivery in await harness.take(subscription, 10):
                    if delivery.message.data in (b"3", b"7"):
                        delivery.nack()
                    else:
                        delivery.ack()
                again = await harness.take(subscription, 2)
                assert sorted(bodies(again)) == [b"3", b"7"]
                assert [(each.attempt, each.failures) for each in again] == [(2, 1), (2, 1)]
                for delivery in again:
                    delivery.ack()
                await subscription.settled()
                await harness.nothing(subscription)

    @named("C18")
    async def test_delay(self, harness: Harness) -> None:
        """A delayed nack comes no sooner than asked, and blocks nobody."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(3))
            async with broker.subscribe(topic, group="group", in_flight=2) as subscription:
                loop = asyncio.get_running_loop()
                first = await harness.one(subscription)
                began = loop.time()
                # So long that the third message surely comes before it.
                first.nack(delay=3.0)
                others = await harness.take(subscription, 2)
                assert first.message.id not in {each.message.id for each in others}
                for delivery in others:
                    delivery.ack()
                again = await harness.one(subscription)
                assert loop.time() - began >= 3.0
                assert again.message.id == first.message.id

    async def test_delayed_come_back_after_close(self, harness: Harness) -> None:
        """What waits for its retry when the subscription closes comes again at once."""
        async with harness.topic("group") as (broker, topic):
            await broker.send(topic, Message(b"x"))
            async with broker.subscribe(topic, group="group") as subscription:
                (await harness.one(subscription)).nack(delay=3600)
            async with broker.subscribe(topic, group="group") as subscription:
                assert (await harness.one(subscription)).message.data == b"x"

    @named("Dapr GCP dead letter", "C8", "C11", "C13")
    async def test_poison(self, harness: Harness) -> None:
        """Dead-lettered once, with reason, original body, headers and id; the rest goes on."""
        async with harness.topic("group") as (broker, topic), dead_topic(broker) as dead:
            poison = Message(
                b"\xffpoison",
                key="k",
                content_type="image/png",
                headers={"h": "v"},
                extensions={"group": "g"},
            )
            await broker.send(topic, poison)
            await broker.send(topic, Message(b"good"))
            async with broker.subscribe(
                topic, group="group", retry=_FAST, dead_letter=dead
            ) as subscription:
                handled: list[bytes] = []

                async def handle(delivery: Delivery) -> None:
                    handled.append(delivery.message.data)
                    if delivery.message.data.startswith(b"\xff"):
                        raise ValueError("bad\npixel")

                runner = asyncio.create_task(subscription.run(handle))
                await harness.until_done(subscription, lambda: len(handled) == 4)
                await subscription.close()
                await runner
            assert handled.count(poison.data) == 3
            assert handled.count(b"good") == 1
            async with broker.subscribe(dead, group="reader") as letters:
                letter = (await harness.one(letters)).message
                await harness.nothing(letters)
            assert (letter.data, letter.id, letter.key) == (poison.data, poison.id, poison.key)
            assert letter.content_type == "image/png"
            assert letter.headers == poison.headers
            assert letter.time == poison.time
            assert letter.extensions["group"] == "g"
            assert letter.extensions["deadtopic"] == topic
            assert letter.extensions["deadattempt"] == "3"
            assert "ValueError: bad pixel" in letter.extensions["deadreason"]

    @named("Dapr Kafka kafka_exhausted_test")
    async def test_exhausted_stays_dead(self, harness: Harness) -> None:
        """Given-up messages do not come again after a restart."""
        async with harness.topic("group") as (broker, topic), dead_topic(broker) as dead:
            await broker.send(topic, Message(b"poison"))
            async with broker.subscribe(
                topic, group="group", retry=Retry(attempts=1), dead_letter=dead
            ) as subscription:
                (await harness.one(subscription)).nack()
                await subscription.settled()
            await broker.send(topic, Message(b"probe"))
            async with broker.subscribe(topic, group="group") as subscription:
                assert (await harness.one(subscription)).message.data == b"probe"

    async def test_reject(self, harness: Harness) -> None:
        """Rejected messages are dead-lettered at once, whatever attempts are left."""
        async with harness.topic("group") as (broker, topic), dead_topic(broker) as dead:
            await broker.send_many(topic, numbered(2))
            async with broker.subscribe(topic, group="group", dead_letter=dead) as subscription:
                handled: set[bytes] = set()

                async def handle(delivery: Delivery) -> None:
                    handled.add(delivery.message.data)
                    if delivery.message.data == b"0":
                        raise Reject("not an image")
                    delivery.reject("nor this")

                runner = asyncio.create_task(subscription.run(handle))
                await harness.until_done(subscription, lambda: len(handled) == 2)
                await subscription.close()
                await runner
            async with broker.subscribe(dead, group="reader") as letters:
                reasons = {
                    each.message.extensions["deadreason"] for each in await harness.take(letters, 2)
                }
            assert reasons == {"not an image", "nor this"}

    async def test_reject_of_the_largest(self, harness: Harness) -> None:
        """A message of the largest size can still become a dead letter."""
        limit = 300_000
        async with (
            harness.topic("group", max_message_bytes=limit) as (broker, topic),
            dead_topic(broker) as dead,
        ):
            room = limit - 1024 - Message(b"").encoded_size()
            await broker.send(topic, Message(bytes(room)))
            async with broker.subscribe(topic, group="group", dead_letter=dead) as subscription:
                (await harness.one(subscription)).reject("x" * 5000)
                await subscription.settled()
            async with broker.subscribe(dead, group="reader") as letters:
                letter = (await harness.one(letters)).message
                assert len(letter.data) == room
                assert letter.extensions["deadreason"].startswith("xxx")

    async def test_without_dead_letter_topic(self, harness: Harness) -> None:
        """Without a dead-letter topic, what cannot be processed is discarded, and counted."""
        counted: list[tuple[str, str]] = []

        class Counts(Observer):
            def dead(self, topic: str, reason: str) -> None:
                counted.append((topic, reason))

        async with harness.topic("group", observer=Counts()) as (broker, topic):
            await broker.send(topic, Message(b"x"))
            async with broker.subscribe(topic, group="group") as subscription:
                (await harness.one(subscription)).reject("useless")
                await subscription.settled()
                assert await subscription.lag() == 0
            assert counted == [(topic, "rejected")]

    async def test_missing_dead_letter_topic(self, harness: Harness) -> None:
        """A dead-letter topic that does not exist is found at the start, not at the first poisonous message."""
        async with harness.topic("group") as (broker, topic):
            with pytest.raises(NotFound, match="no-such-dead"):
                async with broker.subscribe(topic, group="group", dead_letter="no-such-dead"):
                    pass

    @named("Dapr subscribe")
    async def test_run_acks_and_retries(self, harness: Harness) -> None:
        """The first deliveries and every fifth fail, everything is handled in the end."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(60))
            calls = 0
            handled: set[bytes] = set()
            async with broker.subscribe(
                topic, group="group", retry=Retry(attempts=None, delay=0.01)
            ) as subscription:

                async def handle(delivery: Delivery) -> None:
                    nonlocal calls
                    calls += 1
                    if calls <= 2 or calls % 5 == 0:
                        raise RuntimeError("simulated")
                    handled.add(delivery.message.data)

                runner = asyncio.create_task(subscription.run(handle, concurrency=4))
                await harness.until_done(subscription, lambda: len(handled) == 60)
                await subscription.close()
                await runner
            assert len(handled) == 60

    @named("Watermill TestContinueAfterErrors")
    async def test_goes_on_after_errors(self, harness: Harness) -> None:
        """After consumer upon consumer that failed at everything, a good one gets all, and no letter is dead."""
        async with harness.topic("group") as (broker, topic), dead_topic(broker) as dead:
            await broker.send_many(topic, numbered(20))
            endless = Retry(attempts=None, delay=0.0)
            for _ in range(3):
                async with broker.subscribe(
                    topic, group="group", retry=endless, dead_letter=dead
                ) as subscription:
                    failed = 0
                    while failed < 60:
                        for delivery in await harness.take(subscription, 1):
                            delivery.nack()
                            failed += 1
            async with broker.subscribe(
                topic, group="group", retry=endless, dead_letter=dead
            ) as subscription:
                taken = await harness.take(subscription, 20)
                assert sorted(map(int, bodies(taken))) == list(range(20))
                for delivery in taken:
                    delivery.ack()
                await subscription.settled()
                await harness.nothing(subscription)
            async with broker.subscribe(dead, group="reader") as letters:
                await harness.nothing(letters)

    @named("Dapr Kafka keyed order with errors", "C14")
    async def test_order_by_key(self, harness: Harness) -> None:
        """One key serially and in order, retries included; other keys side by side."""
        async with harness.topic("group", ordered=True) as (broker, topic):
            messages = [Message(b"%d" % n, key=f"key{n % 4}") for n in range(80)]
            await broker.send_many(topic, messages)
            running: dict[str | None, int] = {}
            most = together = 0
            order: dict[str | None, list[int]] = {}
            async with broker.subscribe(
                topic, group="group", retry=Retry(attempts=None, delay=0.01)
            ) as subscription:

                async def handle(delivery: Delivery) -> None:
                    nonlocal most, together
                    key, number = delivery.message.key, int(delivery.message.data)
                    running[key] = running.get(key, 0) + 1
                    most = max(most, running[key])
                    together = max(together, sum(1 for each in running.values() if each))
                    await asyncio.sleep(0.002)
                    running[key] -= 1
                    if number % 9 == 0 and delivery.attempt == 1:
                        raise RuntimeError("once")
                    order.setdefault(key, []).append(number)

                runner = asyncio.create_task(subscription.run(handle, concurrency=8, order="key"))
                await harness.until_done(subscription, lambda: sum(map(len, order.values())) == 80)
                await subscription.close()
                await runner
            assert most == 1
            assert together > 1
            for numbers in order.values():
                assert numbers == sorted(numbers)
            assert sum(map(len, order.values())) == 80

    async def test_concurrency(self, harness: Harness) -> None:
        """`run` never has more handlers at work than `concurrency`."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(40))
            running = most = handled = 0
            async with broker.subscribe(topic, group="group") as subscription:

                async def handle(delivery: Delivery) -> None:
                    nonlocal running, most, handled
                    running += 1
                    most = max(most, running)
                    await asyncio.sleep(0.002)
                    running -= 1
                    handled += 1

                runner = asyncio.create_task(subscription.run(handle, concurrency=3))
                await harness.until_done(subscription, lambda: handled == 40)
                await subscription.close()
                await runner
            assert most == 3

    @named("Watermill TestMessageCtx")
    async def test_cancelled_run(self, harness: Harness) -> None:
        """A cancelled `run` cancels its handlers, who never see the sender's context; their messages come again."""
        async with harness.topic("group") as (broker, topic):
            _CONTEXT.set("the sender's")
            await broker.send_many(topic, numbered(3))
            _CONTEXT.set("the reader's")
            started = asyncio.Event()
            contexts: list[str] = []
            cancelled = 0

            async def handle(delivery: Delivery) -> None:
                nonlocal cancelled
                contexts.append(_CONTEXT.get())
                if len(contexts) == 3:
                    started.set()
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    cancelled += 1
                    raise

            async with broker.subscribe(topic, group="group") as subscription:
                runner = asyncio.create_task(subscription.run(handle))
                async with asyncio.timeout(harness.patience):
                    await started.wait()
                runner.cancel()
                await asyncio.gather(runner, return_exceptions=True)
                assert contexts == ["the reader's"] * 3
                assert cancelled == 3
            async with broker.subscribe(topic, group="group") as subscription:
                assert sorted(bodies(await harness.take(subscription, 3))) == [b"0", b"1", b"2"]

    @named("C10", "Watermill TestMessageCtx")
    async def test_close_ends_handlers(self, harness: Harness) -> None:
        """After the drain `run` cancels handlers of what was given back, lets those end that acked, and begins none."""
        received = 0

        class Counts(Observer):
            def received(self, topic: str, messages: int, size: int) -> None:
                nonlocal received
                received += messages

        async with harness.topic("group", ordered=True, observer=Counts()) as (broker, topic):
            # Two of a key: the second queues behind the first, which acks at once but does not end. What is acked was
            # sent before the rest, or a backend with partitions would repeat it.
            keyed = [Message(b"first", key="k"), Message(b"second", key="k")]
            await broker.send_many(topic, [Message(b"0"), *keyed, *numbered(2, 1)])
            started: set[bytes] = set()
            ended: dict[bytes, str] = {}
            release = asyncio.Event()

            async def handle(delivery: Delivery) -> None:
                body = delivery.message.data
                acks = body in (b"0", b"first")
                if acks:
                    delivery.ack()
                started.add(body)
                try:
                    await (release.wait() if acks else asyncio.Event().wait())
                except asyncio.CancelledError:
                    ended[body] = "cancelled"
                    raise
                ended[body] = "returned"

            async with broker.subscribe(topic, group="group") as subscription:
                runner = asyncio.create_task(subscription.run(handle))
                await harness.until(lambda: len(started) == 4 and received == 5)
                await subscription.close(drain=0.1)
                await harness.until(lambda: len(ended) == 2)
                assert not runner.done()
                release.set()
                async with asyncio.timeout(harness.patience):
                    await runner
            assert ended == {
                b"0": "returned", b"first": "returned", b"1": "cancelled", b"2": "cancelled"
            }  # fmt: skip
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 3)
                assert sorted(bodies(taken)) == [b"1", b"2", b"second"]

    async def test_observer(self, harness: Harness) -> None:
        """The observer is told of everything that metrics need."""
        seen: dict[str, int] = {}

        class Counts(Observer):
            def sent(self, topic: str, messages: int, size: int) -> None:
                seen["sent"] = seen.get("sent", 0) + messages

            def received(self, topic: str, messages: int, size: int) -> None:
                seen["received"] = seen.get("received", 0) + messages

            def redelivered(self, topic: str, messages: int) -> None:
                seen["redelivered"] = seen.get("redelivered", 0) + messages

            def acked(self, topic: str, messages: int) -> None:
                seen["acked"] = seen.get("acked", 0) + messages

            def lag(self, topic: str, group: str, messages: int) -> None:
                seen["lag"] = messages

        async with harness.topic("group", observer=Counts()) as (broker, topic):
            await broker.send_many(topic, numbered(5))
            async with broker.subscribe(topic, group="group") as subscription:
                for delivery in await harness.take(subscription, 5):
                    if delivery.message.data == b"2":
                        delivery.nack()
                    else:
                        delivery.ack()
                (await harness.one(subscription)).ack()
                await harness.until(lambda: seen.get("lag") == 0)
        assert seen == {"sent": 5, "received": 6, "redelivered": 1, "acked": 5, "lag": 0}


@asynccontextmanager
async def dead_topic(broker: Broker) -> AsyncIterator[str]:
    """A fresh topic for dead letters, with a group that reads it."""
    name = f"dead{Message(b'').id[-12:]}"
    await broker.ensure(name, "reader")
    yield name
