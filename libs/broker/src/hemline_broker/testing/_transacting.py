# ruff: noqa: S101 - a conformance suite asserts
"""Behaviours of transactions: outputs and acks together, or neither."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

import pytest

from hemline_broker import (
    Broker,
    Capability,
    Closed,
    InvalidOption,
    Message,
    NotFound,
    TooLarge,
    Unsupported,
)
from hemline_broker.testing._behaviour import named, needs, only_without
from hemline_broker.testing._crashing import sleeper
from hemline_broker.testing._harness import Harness, bodies, numbered

# Copies from one topic to another until it is killed, a few messages at a time.
_COPIER = """
import asyncio, sys
from hemline_broker import TransactionAborted, connect

async def main(url, source, target):
    async with connect(url) as broker, broker.subscribe(source, group="group") as subscription:
        async for batch in subscription.batches(7):
            try:
                async with broker.transaction(subscription) as transaction:
                    transaction.send_many(target, batch.messages)
                    transaction.ack(batch)
            except TransactionAborted:
                continue
            print(len(batch), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class Transacting:
    """Mix into a test class that has a fixture `harness`."""

    @needs(Capability.TRANSACTIONS)
    async def test_transaction(self, harness: Harness) -> None:
        """Consume, transform, produce: outputs appear and inputs are gone when the context ends, not before."""
        async with (
            harness.topic("group") as (broker, source),
            harness.topic("reader") as (_, target),
        ):
            await broker.send_many(source, numbered(10))
            async with (
                broker.subscribe(source, group="group") as inputs,
                broker.subscribe(target, group="reader") as outputs,
            ):
                taken = await harness.take(inputs, 10)
                async with broker.transaction(inputs) as transaction:
                    for delivery in taken:
                        transaction.send(
                            target, delivery.message.replace(id=f"copy-{delivery.message.id}")
                        )
                    transaction.ack(taken)
                    taken[0].nack()  # it is the transaction's now
                    await harness.nothing(outputs)
                assert sorted(bodies(await harness.take(outputs, 10))) == sorted(bodies(taken))
                assert await inputs.lag() == 0
                with pytest.raises(Closed):
                    transaction.send(target, Message(b"late"))
            async with broker.subscribe(source, group="group") as inputs:
                await harness.nothing(inputs)

    @named("Dapr Kafka kafka_transactions_test")
    @needs(Capability.TRANSACTIONS)
    async def test_transaction_rewinds(self, harness: Harness) -> None:
        """After two failures the same come again in order, outputs once."""
        async with (
            harness.topic("group") as (broker, source),
            harness.topic("reader") as (_, target),
        ):
            await broker.send_many(source, numbered(20))
            attempts: list[tuple[list[bytes], int]] = []
            async with broker.subscribe(source, group="group") as inputs:
                for attempt in range(3):
                    taken = await harness.take(inputs, 8)
                    attempts.append((bodies(taken), taken[0].attempt))
                    with suppress(RuntimeError):
                        async with broker.transaction(inputs) as transaction:
                            transaction.send_many(target, [each.message for each in taken])
                            transaction.ack(taken)
                            if attempt < 2:
                                raise RuntimeError("simulated")
                first = [b"%d" % number for number in range(8)]
                assert attempts == [(first, 1), (first, 2), (first, 3)]
                rest = await harness.take(inputs, 12)
                assert bodies(rest) == [b"%d" % number for number in range(8, 20)]
            async with broker.subscribe(target, group="reader") as outputs:
                assert bodies(await harness.take(outputs, 8)) == first
                await harness.nothing(outputs)

    @named("Dapr Kafka kafka_transactions_test")
    @needs(Capability.TRANSACTIONS)
    async def test_transaction_is_all_or_nothing(self, harness: Harness) -> None:
        """When one part cannot be sent, nothing is, and the inputs come again."""
        async with (
            harness.topic("group", max_message_bytes=100_000) as (broker, source),
            harness.topic("reader") as (_, target),
        ):
            await broker.send(source, Message(b"x"))
            async with broker.subscribe(source, group="group") as inputs:
                delivery = await harness.one(inputs)
                with pytest.raises(NotFound):
                    async with broker.transaction(inputs) as transaction:
                        transaction.send(target, Message(b"y"))
                        transaction.send("no-such-topic", Message(b"y"))
                        transaction.ack(delivery)
                delivery = await harness.one(inputs)
                assert (delivery.message.data, delivery.attempt) == (b"x", 2)
                with pytest.raises(TooLarge):
                    async with broker.transaction(inputs) as transaction:
                        transaction.send(target, Message(b"y"))
                        transaction.ack(delivery)
                        transaction.send(target, Message(bytes(100_001)))
                assert (await harness.one(inputs)).attempt == 3
            async with broker.subscribe(target, group="reader") as outputs:
                await harness.nothing(outputs)

    @needs(Capability.TRANSACTIONS)
    async def test_transaction_without_a_subscription(self, harness: Harness) -> None:
        """Sends to several topics at once; acks need a subscription."""
        async with (
            harness.topic("reader") as (broker, first),
            harness.topic("reader") as (_, second),
        ):
            async with broker.transaction() as transaction:
                transaction.send(first, Message(b"1"))
                transaction.send(second, Message(b"2"))
            for topic, wanted in ((first, b"1"), (second, b"2")):
                async with broker.subscribe(topic, group="reader") as outputs:
                    delivery = await harness.one(outputs)
                    assert delivery.message.data == wanted
                    with pytest.raises(InvalidOption):
                        async with broker.transaction() as transaction:
                            transaction.ack(delivery)
            async with broker.transaction():
                pass

    @named("C3")
    @needs(Capability.TRANSACTIONS)
    async def test_gaps(self, harness: Harness) -> None:
        """Where transactions leave gaps in the log, acks pass over them, and nothing comes again."""
        async with harness.topic("group") as (broker, topic):
            for number in range(6):
                with suppress(RuntimeError):
                    async with broker.transaction() as transaction:
                        transaction.send(topic, Message(b"%d" % number))
                        if number % 2:
                            raise RuntimeError("simulated")
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 3)
                assert bodies(taken) == [b"0", b"2", b"4"]
                for delivery in reversed(taken):
                    delivery.ack()
                await subscription.settled()
            await broker.send(topic, Message(b"last"))
            async with broker.subscribe(topic, group="group") as subscription:
                assert (await harness.one(subscription)).message.data == b"last"
                await harness.nothing(subscription)

    @named("C17")
    @needs(Capability.TRANSACTIONS, Capability.SHARED)
    async def test_transaction_of_a_lost_lease(self, harness: Harness) -> None:
        """What went to another consumer cannot be acknowledged, and nothing is sent for it."""
        async with (
            harness.topic("group") as (broker, source),
            harness.topic("reader") as (_, target),
        ):
            await broker.send_many(source, numbered(8))
            async with (
                sleeper(harness, "transact", source, target) as wake,
                harness.with_options(harness.short_lease).connect() as other,
                other.subscribe(source, group="group") as inputs,
            ):
                taken = await harness.take(inputs, 8)
                assert await wake() == ["aborted"]
                async with other.transaction(inputs) as transaction:
                    transaction.ack(taken)
            async with broker.subscribe(target, group="reader") as outputs:
                await harness.nothing(outputs)

    @needs(Capability.TRANSACTIONS, Capability.SHARED)
    async def test_transaction_survives_kills(self, harness: Harness) -> None:
        """A copier that is killed with SIGKILL again and again copies every message exactly once."""
        async with (
            harness.topic("group") as (broker, source),
            harness.topic("reader") as (_, target),
        ):
            await broker.send_many(source, numbered(300))
            for commits in (3, 10):
                await _copy_and_kill(harness, source, target, commits)
            copier = await _copier(harness, source, target)
            try:
                await _check_copies(harness, broker, target, 300)
            finally:
                copier.kill()
                await copier.wait()

    @only_without(Capability.TRANSACTIONS)
    async def test_transactions_are_a_capability(self, harness: Harness) -> None:
        """A backend without them says so, whatever is asked of it."""
        async with harness.topic() as (broker, _):
            with pytest.raises(Unsupported):
                async with broker.transaction():
                    pass


async def _copier(harness: Harness, source: str, target: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COPIER, harness.url, source, target, stdout=asyncio.subprocess.PIPE
    )


async def _copy_and_kill(harness: Harness, source: str, target: str, commits: int) -> None:
    """Kill right after so many commits: the next transaction has begun."""
    copier = await _copier(harness, source, target)
    if copier.stdout is None:
        raise AssertionError("no pipe")
    try:
        async with asyncio.timeout(2 * harness.patience):
            for _ in range(commits):
                assert await copier.stdout.readline()
    finally:
        with suppress(ProcessLookupError):
            copier.send_signal(signal.SIGKILL)
        await copier.wait()


async def _check_copies(harness: Harness, broker: Broker, target: str, count: int) -> None:
    async with broker.subscribe(target, group="reader") as outputs:
        taken = []
        async with asyncio.timeout(2 * harness.patience):
            async for batch in outputs.batches(count):
                taken += bodies(list(batch))
                if len(set(taken)) == count:
                    break
        await harness.nothing(outputs)
    assert sorted(map(int, taken)) == list(range(count))
