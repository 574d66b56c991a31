"""What a Kafka consumer's thread decides, against a client that a test can drive; no broker takes part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import TopicPartition

from hemline_broker import Message
from hemline_broker._delivery import Delivery
from hemline_broker._kafka._partition import Partition
from hemline_broker._kafka._settings import Settings
from hemline_broker._kafka._source import KafkaSource
from hemline_broker._url import BrokerURL

_TOPIC = "topic"


class _Client:
    """Stands in for the consumer: what is committed, and nothing else yet."""

    def __init__(self) -> None:
        self.stored: dict[int, int] = {}

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> Any:
        self.stored |= {each.partition: each.offset for each in offsets}
        return None if asynchronous else offsets

    def consumer_group_metadata(self) -> object:
        return object()


def _source(client: Any, sink: Any = None) -> Any:
    """A source whose thread is the test."""
    unused: Any = None
    source: Any = KafkaSource(
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
