"""What a Kafka consumer's thread decides, against a client that a test can drive; no broker takes part."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from hemline_broker import Message, Unavailable
from hemline_broker._broker import Broker
from hemline_broker._delivery import OVERHEAD_BYTES, Delivery
from hemline_broker._kafka._partition import Partition
from hemline_broker._kafka._settings import Settings
from hemline_broker._kafka._source import KafkaSource
from hemline_broker._observer import Observer
from hemline_broker._url import BrokerURL

_TOPIC = "topic"
_MIB = 1 << 20


class _Client:
    """Stands in for the consumer: what is committed, what is paused, and what waits to be read."""

    def __init__(self) -> None:
        self.stored: dict[int, int] = {}
        self.refusals = 0
        self.paused: set[int] = set()
        self.waiting: list[Record] = []

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
        self.stored |= {each.partition: each.offset for each in offsets}
        return None if asynchronous else offsets

    def committed(self, parts: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [
            TopicPartition(_TOPIC, each.partition, self.stored[each.partition]) for each in parts
        ]

    def pause(self, parts: Sequence[TopicPartition]) -> None:
        self.paused |= {each.partition for each in parts}

    def resume(self, parts: Sequence[TopicPartition]) -> None:
        resumed = {each.partition for each in parts}
        assert resumed <= self.paused
        self.paused -= resumed

    def poll(self, wait: float) -> Record | None:
        return self.waiting.pop(0) if self.waiting else None

    def consume(self, count: int, wait: float) -> list[Record]:
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    def consumer_group_metadata(self) -> object:
        return object()


class _Sink:
    """A subscription that says how much room it has, and keeps all that comes."""

    def __init__(self, count: int, size: int) -> None:
        self.left = [count, size]
        self.offsets: dict[int, list[int]] = {}
        self.most_over = 0

    def room(self) -> tuple[int, int]:
        count, size = self.left
        return (count, size) if count > 0 and size > 0 else (0, 0)

    def idle(self) -> bool:
        return True

    def put_run(self, run: Any) -> None:
        self.left = [self.left[0] - len(run), self.left[1] - run.cost]
        self.offsets.setdefault(run.lease.number, []).extend(run.offsets)
        self.most_over = max(self.most_over, -self.left[1])


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


async def test_what_came_beside_a_transaction_is_not_asked_of_the_brokers() -> None:
    client = _Client()
    source = _source(client)
    _, deliveries = _partition(source, range(10))
    (offset,), _ = source._enlist(deliveries[:4])
    source.ack(deliveries[4:6])
    source._collect()
    client.stored = {0: offset.offset - 1}
    assert not source._took_effect(deliveries[:4])
    client.stored = {0: offset.offset}
    assert source._took_effect(deliveries[:4])


async def test_what_a_doubtful_transaction_held_is_neither_committed_nor_handed_out() -> None:
    client = _Client()
    source = _source(client)
    part, deliveries = _partition(source, range(10))
    source.ack(deliveries[:2])
    source._enlist(deliveries[2:6])
    source._doubt(deliveries[2:6])
    assert part.lost
    assert source._anew
    assert source._commit(durable=True)
    assert client.stored == {}
    # What was acknowledged before comes again, too, and whoever did that is told.
    assert source._take_lost() == ["topic/0/0", "topic/0/1"]
    source._forget([part])
    assert source._take_lost() == []


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


def _assign(source: Any, *numbers: int) -> None:
    source._on_assign(source.consumer, [TopicPartition(_TOPIC, number) for number in numbers])


def _records(number: int, sizes: Sequence[int], first: int = 0) -> list[Record]:
    """Records of a partition, with bodies of these sizes."""
    return [
        Record(topic=_TOPIC, partition=number, offset=first + place, value=bytes(size))
        for place, size in enumerate(sizes)
    ]


async def test_partitions_that_stay_are_resumed_after_others_came_while_paused() -> None:
    client, sink = _Client(), _Sink(0, 0)
    source = _source(client, sink)
    _assign(source, 0)
    source._turn()
    assert client.paused == {0}
    _assign(source, 1)
    sink.left = [10, _MIB]
    source._turn()
    assert client.paused == set()


async def test_partitions_that_come_while_paused_are_paused_too() -> None:
    client, sink = _Client(), _Sink(0, 0)
    source = _source(client, sink)
    _assign(source, 0)
    source._turn()
    _assign(source, 1)
    source._turn()
    assert client.paused == {0, 1}


async def test_what_went_while_paused_is_resumed_when_it_comes_again() -> None:
    client, sink = _Client(), _Sink(0, 0)
    source = _source(client, sink)
    _assign(source, 0, 1)
    source._turn()
    source._on_lost(client, [TopicPartition(_TOPIC, 1)])
    sink.left = [10, _MIB]
    source._turn()
    assert client.paused == {1}  # as librdkafka does it
    _assign(source, 1)
    source._turn()
    assert client.paused == set()


async def test_large_messages_are_bounded_before_a_size_is_known() -> None:
    client, sink = _Client(), _Sink(500, 4 * _MIB)
    source = _source(client, sink)
    _assign(source, 0)
    client.waiting = _records(0, [_MIB] * 100)
    source._turn()
    assert sink.offsets == {0: [0, 1, 2, 3]}
    assert not source._held
    for _ in range(3):
        source._turn()
    assert sink.most_over <= _MIB + OVERHEAD_BYTES


async def test_large_messages_among_small_ones_are_bounded_and_none_is_passed_over() -> None:
    client, sink = _Client(), _Sink(1000, 4 * _MIB)
    source = _source(client, sink)
    _assign(source, 0, 1)
    client.waiting = _records(0, [10] * 300)
    while client.waiting:
        source._turn()
    sizes = [10, 3 * _MIB] * 40
    client.waiting = [*_records(0, sizes, 300), *_records(1, sizes)]
    turns = 0
    while sum(map(len, sink.offsets.values())) < 460:
        source._turn()
        turns += 1
        assert turns < 1000
        assert sink.most_over <= 3 * _MIB + OVERHEAD_BYTES
        if not sink.room()[0]:
            sink.left = [1000, 4 * _MIB]  # all of it was settled
    assert sink.offsets == {0: [*range(380)], 1: [*range(80)]}


async def test_what_is_held_back_goes_with_its_partition() -> None:
    client, sink = _Client(), _Sink(100, _MIB)
    source = _source(client, sink)
    source._largest = 1
    _assign(source, 0, 1)
    client.waiting = [*_records(0, [_MIB] * 3), *_records(1, [10])]
    source._turn()
    assert sink.offsets == {0: [0]}
    source._on_lost(client, [TopicPartition(_TOPIC, 0)])
    _assign(source, 0)
    client.waiting = _records(0, [10] * 2)
    sink.left = [100, _MIB]
    source._turn()
    source._turn()
    assert sink.offsets == {0: [0, 0, 1], 1: [0]}


async def test_what_comes_while_there_is_no_room_waits_for_it() -> None:
    client, sink = _Client(), _Sink(0, 0)
    source = _source(client, sink)
    _assign(source, 0)
    client.waiting = _records(0, [10] * 3)
    source._turn()
    assert sink.offsets == {}
    sink.left = [2, _MIB]
    source._turn()
    assert sink.offsets == {0: [0, 1]}


async def test_acks_that_came_too_late_are_told_once_each() -> None:
    """The thread adds while the event loop takes."""
    source = _source(_Client())
    count = 20_000
    parts = []
    for number in range(count):
        part = Partition(_TOPIC, number)
        part.delivered([0])
        part.done(0)
        parts.append(part)
    thread = threading.Thread(target=lambda: [source._forget([part]) for part in parts])
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        thread.start()
        told: list[str] = []
        while thread.is_alive():
            told += source._take_lost()
    finally:
        sys.setswitchinterval(before)
    told += source._take_lost()
    assert told == [f"topic/{number}/0" for number in range(count)]
