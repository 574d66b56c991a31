"""A producer that librdkafka has given up for good: what was under way fails, what comes next is sent."""

from __future__ import annotations

import asyncio
import ctypes
import uuid
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, Producer

from hemline_broker import Message, SendFailed, TransactionAborted, Unavailable
from hemline_broker.testing import Harness, numbered

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


@pytest.fixture
def harness(kafka_url: str) -> Harness:
    return Harness(kafka_url, patience=90.0)


def _break(producer: Producer) -> None:
    """The fatal error that librdkafka keeps for tests, as if the brokers had seen a gap in the sequence.

    Its Python client has no call for it, so it is reached by the pointer that follows the object's header.
    """
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    (library,) = {line.split()[-1] for line in maps if "librdkafka" in line}
    rdkafka = ctypes.CDLL(library)
    rdkafka.rd_kafka_name.restype = ctypes.c_char_p
    client = ctypes.c_void_p.from_address(id(producer) + object.__basicsize__)
    assert rdkafka.rd_kafka_name(client).startswith(b"hemline-broker#producer-")
    reason = ctypes.c_char_p(b"by a test")
    broken = KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert rdkafka.rd_kafka_test_fatal_error(client, broken, reason) == 0


async def test_a_lone_send_after_a_fatal_error_works(harness: Harness) -> None:
    async with harness.topic("group") as (broker, topic):
        await broker.send(topic, Message(b"before"))
        broken = broker.native(Producer)
        _break(broken)
        await broker.send(topic, Message(b"after"))
        assert broker.native(Producer) is not broken
        async with broker.subscribe(topic, group="group") as subscription:
            taken = await harness.take(subscription, 2)
        assert [each.message.data for each in taken] == [b"before", b"after"]


async def test_many_under_way_fail_for_a_fatal_error_and_can_be_sent_again(
    harness: Harness,
) -> None:
    # So long a delay that they are all still with librdkafka when it happens.
    slow = harness.with_options("linger_ms=10000")
    async with harness.topic("group") as (quick, topic), slow.connect() as broker:
        await quick.send_many(topic, numbered(20))
        producer = broker._driver._producer_for(40)._producer.ready()
        messages = numbered(40)
        sending = asyncio.create_task(broker.send_many(topic, messages))
        await harness.until(lambda: len(producer) == 40)
        _break(producer)
        with pytest.raises(SendFailed, match="by a test") as caught:
            await sending
        assert caught.value.retryable
        assert set(caught.value.errors) == set(range(40))
        assert all(isinstance(each, Unavailable) for each in caught.value.errors.values())
        await broker.send_many(topic, messages)
        assert broker._driver._bulk._producer.ready() is not producer
        async with broker.subscribe(topic, group="group") as subscription:
            taken = await harness.take(subscription, 60)
        assert [each.message.id for each in taken[20:]] == [each.id for each in messages]


async def test_a_transaction_after_a_fatal_error_works(harness: Harness) -> None:
    async with harness.topic("group") as (broker, topic):
        async with broker.transaction() as transaction:
            transaction.send(topic, Message(b"before"))
        (transactor,) = broker._driver._transactors.values()
        _break(transactor._producer)
        with pytest.raises(TransactionAborted):
            async with broker.transaction() as transaction:
                transaction.send(topic, Message(b"lost"))
        async with broker.transaction() as transaction:
            transaction.send(topic, Message(b"after"))
        async with broker.subscribe(topic, group="group") as subscription:
            taken = await harness.take(subscription, 2)
        assert [each.message.data for each in taken] == [b"before", b"after"]


async def test_a_fenced_transaction_says_so_and_the_next_one_works(harness: Harness) -> None:
    name = f"worker-{uuid.uuid4().hex}"
    url = f"{harness.url}?transactional_id={name}"
    async with harness.topic("group") as (_, topic), Harness(url).connect() as broker:
        async with broker.transaction() as transaction:
            transaction.send(topic, Message(b"before"))
        servers = harness.url.removeprefix("kafka://")
        other = Producer({"bootstrap.servers": servers, "transactional.id": f"{name}.-"})
        await asyncio.to_thread(other.init_transactions, 60)
        with pytest.raises(TransactionAborted, match="transactional_id"):
            async with broker.transaction() as transaction:
                transaction.send(topic, Message(b"lost"))
        async with broker.transaction() as transaction:
            transaction.send(topic, Message(b"after"))
        async with broker.subscribe(topic, group="group") as subscription:
            taken = await harness.take(subscription, 2)
        assert [each.message.data for each in taken] == [b"before", b"after"]
