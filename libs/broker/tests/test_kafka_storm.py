"""Consumers come and go in the middle of each other's rebalances: nothing durable comes again, and nothing stalls."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hemline_broker import AckLost, Broker, Delivery, Message
from hemline_broker.testing import Harness

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
_MESSAGES = 300
_AT_A_TIME = 6


class _Books:
    """Who was given what, and whose acks are durable."""

    def __init__(self) -> None:
        self.given: dict[str, int] = {}
        self.durable: set[str] = set()
        self.broken: list[str] = []

    def give(self, deliveries: list[Delivery]) -> dict[str, int]:
        """Number the deliveries of each message."""
        numbers = {}
        for delivery in deliveries:
            name = delivery.message.id
            if name in self.durable:
                self.broken.append(f"{delivery!r} was given out after its ack was durable")
            numbers[name] = self.given[name] = self.given.get(name, 0) + 1
        return numbers

    def settle(self, numbers: dict[str, int]) -> None:
        """Those that were given out under these numbers are done for good."""
        for name, number in numbers.items():
            if self.given[name] != number:
                self.broken.append(f"{name} is another's, and its ack was durable all the same")
            self.durable.add(name)


async def _consume(broker: Broker, topic: str, books: _Books, lives: int) -> None:
    """Join, work a little, and leave with a batch in hand, again and again."""
    for life in range(lives):
        async with broker.subscribe(topic, group="group", in_flight=24) as subscription:
            turns = 0
            async for batch in subscription.batches(_AT_A_TIME):
                numbers = books.give([*batch])
                turns += 1
                if turns > 3 + life:
                    break
                batch.ack()
                try:
                    await subscription.settled()
                except AckLost:
                    continue
                books.settle(numbers)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
async def test_a_storm_of_rebalances(kafka_url: str, protocol: str) -> None:
    harness = Harness(f"{kafka_url}?session_ms=6000&group_protocol={protocol}", patience=90.0)
    books = _Books()
    async with harness.topic("group", partitions=6) as (broker, topic):
        await broker.send_many(
            topic, [Message(b"x", key=str(number)) for number in range(_MESSAGES)]
        )
        async with asyncio.timeout(harness.patience), asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(_consume(broker, topic, books, lives=2))
        async with broker.subscribe(topic, group="group") as subscription:
            async with asyncio.timeout(harness.patience):
                while len(books.durable) < _MESSAGES:
                    taken = await harness.take(subscription, 1)
                    numbers = books.give(taken)
                    for delivery in taken:
                        delivery.ack()
                    await subscription.settled()
                    books.settle(numbers)
            assert await subscription.lag() == 0
    assert books.broken == []


async def test_a_partition_that_comes_back_to_a_full_consumer_is_read_on(kafka_url: str) -> None:
    """It was paused when it went, and librdkafka remembers that; nobody else has a reason to resume it."""
    harness = Harness(f"{kafka_url}?session_ms=6000&drain=0.1", patience=90.0)
    async with harness.topic("group", partitions=2) as (broker, topic):
        messages = [Message(b"x", key=str(number)) for number in range(40)]
        await broker.send_many(topic, messages)
        async with broker.subscribe(topic, group="group", in_flight=2) as full:
            held = [await harness.one(full), await harness.one(full)]
            source: Any = full.joined()
            await harness.until(lambda: source._paused and len(source._parts) == 2)
            async with broker.subscribe(topic, group="group") as guest:
                await harness.one(guest)
                assert len(source._parts) < 2
            await harness.until(lambda: len(source._parts) == 2)
            seen = set()
            for delivery in held:
                delivery.ack()
                seen.add(delivery.message.id)
            while len(seen) < len(messages):
                delivery = await harness.one(full)
                delivery.ack()
                seen.add(delivery.message.id)
