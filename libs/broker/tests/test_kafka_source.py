"""What a Kafka consumer's thread decides, against a client that a test can drive; no broker takes part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from hemline_broker import Message, Unavailable
from hemline_broker._broker import Broker
from hemline_broker._delivery import Delivery
from hemline_broker._kafka._partition import Partition
from hemline_broker._kafka._settings import Settings
from hemline_broker._kafka._source import KafkaSource
from hemline_broker._observer import Observer
from hemline_broker._url import BrokerURL

_TOPIC = "topic"


class _Client:
    """Stands in for the consumer: what is committed, and nothing else yet."""

    def __init__(self) -> None:
        self.stored: dict[int, int] = {}
        self.refusals = 0

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
        self.stored |= {each.partition: each.offset for each in offsets}
        return None if asynchronous else offsets

    def consumer_group_metadata(self) -> object:
        return object()


class _Source(KafkaSource):
    """Its thread only serves what the event loop asks for."""

    def _consume(self) -> None:
        while not self._stopping:
            self._serve_calls()
            self._wake.wait(0.01)


def _source(client: Any, sink: Any = None) -> Any:
    """A source whose thread is the test."""
    unused: Any = None
    source: Any = _Source(
        Settings.parse(BrokerURL.parse("kafka://nowhere:1"), {}),
        unused, _TOPIC, "group", sink, modern=False, max_message_bytes=1 << 20,
    )  # fmt: skip
    source.consumer = client
    return source


def _partition(source: Any, offsets: Sequence[int]) -> tuple[Partition, list[Delivery]]:
    """Partition 0 of the source, with these delivered."""
    part = Partition(_TOPIC, 0)
    part.delivered(offsets)
    source._parts[0] = part
    owner: Any = None
    return part, [Delivery(Message(b""), _TOPIC, 1, part, each, owner) for each in offsets]


async def test_an_ack_beside_a_transaction_is_stored_after_it() -> None:
    client = _Client()
    source = _source(client)
    part, deliveries = _partition(source, range(10))
    (offset,), _ = source._enlist(deliveries[:4])
    assert offset.offset == 4
    source.ack(deliveries[4:6])
    source._collect()
    assert client.stored == {}
    source._finish(deliveries[:4])
    assert part.committed == 4
    assert source._commit(durable=True)
    assert client.stored == {0: 6}
    assert part.done_in_vain() == []


async def test_an_ack_beside_a_transaction_is_stored_without_the_transaction() -> None:
    client = _Client()
    source = _source(client)
    _, deliveries = _partition(source, range(10))
    source.ack(deliveries[:2])
    source._enlist(deliveries[2:4])
    assert not source._commit(durable=True)
    source._delist()
    assert source._commit(durable=True)
    assert client.stored == {0: 2}


async def test_acks_are_stored_though_the_consumer_leaves_during_a_rebalance() -> None:
    client = _Client()
    source = _source(client)
    _, deliveries = _partition(source, range(10))
    await source.start()
    client.refusals = 3
    source.ack(deliveries[:4])
    assert await source.close([]) == []
    assert client.stored == {0: 4}


async def test_a_broker_disconnects_though_a_subscription_cannot_end() -> None:
    class Driver:
        closed = False

        async def close(self) -> None:
            self.closed = True

    class Subscription:
        def __init__(self, error: Exception | None) -> None:
            self.error = error
            self.closed = False

        async def close(self, drain: float) -> None:
            self.closed = True
            if self.error is not None:
                raise self.error

    driver: Any = Driver()
    broker = Broker(driver, Observer(), 1 << 20)
    subscriptions: Any = {Subscription(Unavailable("gone")), Subscription(None)}
    broker._subscriptions |= subscriptions
    with pytest.raises(Unavailable, match="gone"):
        await broker.close()
    assert driver.closed
    assert all(each.closed for each in subscriptions)
    await broker.close()
