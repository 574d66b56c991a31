"""The clients that bench/broker.py compares, each sending and receiving the same bodies over the same topic."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer
from confluent_kafka import Message as Record

from hemline_broker import Broker, Message, connect

MAX_BYTES = 16_000_000
HEADERS = {
    "ce_specversion": "1.0",
    "ce_id": "00000000-0000-7000-8000-000000000000",
    "ce_source": "bench",
    "ce_type": "bench",
    "ce_time": "2026-01-01T00:00:00.000000+00:00",
}
Headers = dict[str, str] | None
Work = Callable[[str, str, bytes, int], Coroutine[Any, Any, float]]
HEADERS_BYTES = [(name, value.encode()) for name, value in HEADERS.items()]


@dataclass(frozen=True)
class Client:
    """Functions of (servers, topic, body, count) that return seconds; None for what it is not compared in."""

    name: str
    send: Work | None
    receive: Work | None
    part: int = 1  # of the messages it gets one in so many, because it is slow


async def make_topic(servers: str) -> str:
    topic = f"bench-{uuid.uuid4().hex[:10]}"
    async with connect(f"kafka://{servers}") as broker:
        await broker.ensure(topic)
    return topic


# --- raw confluent-kafka in its best form ------------------------------------------------------------------------
#
# One thread; acks=all and idempotence; one delivery report per message, so that a loss would be known; poll(0) every
# 512 messages. Ours sends CloudEvents, so its peer does: five headers, of which id and time are of each message. What
# it would be with headers that are always the same, or none, is shown beside it.


def _raw_producer(servers: str) -> Producer:
    return Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "message.max.bytes": MAX_BYTES,
            "queue.buffering.max.messages": 1_000_000,
        }
    )


def _own() -> dict[str, str]:
    """An id and a time of each message's own, made as cheaply as the standard library can."""
    return {
        "ce_specversion": "1.0",
        "ce_id": str(uuid.uuid4()),
        "ce_source": "bench",
        "ce_type": "bench",
        "ce_time": datetime.now(UTC).isoformat(),
    }


def _raw_send(
    servers: str, topic: str, body: bytes, count: int, headers: Callable[[], Headers]
) -> float:
    producer = _raw_producer(servers)
    failed = []

    def report(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer.produce(topic, b"warm up", on_delivery=report)
    producer.flush()
    began = time.perf_counter()
    for number in range(count):
        while True:
            try:
                producer.produce(topic, body, str(number), headers=headers(), on_delivery=report)
                break
            except BufferError:
                producer.poll(0.01)
        if number % 512 == 0:
            producer.poll(0)
    producer.flush()
    took = time.perf_counter() - began
    if failed:
        raise RuntimeError(f"{len(failed)} messages failed, the first: {failed[0]}")
    return took


def _read(records: Sequence[Record]) -> None:
    """Body, key and CloudEvents id as text: what a reader needs at least, and what ours is asked for as well."""
    for record in records:
        record.value()
        (record.key() or b"").decode()
        dict(record.headers() or ()).get("ce_id", b"").decode()


def _ignore(records: Sequence[Record]) -> None:
    """Look at nothing."""


def _raw_receive(
    servers: str, topic: str, body: bytes, count: int, read: Callable[[Sequence[Record]], None]
) -> float:
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
            "fetch.message.max.bytes": MAX_BYTES,
        }
    )
    consumer.subscribe([topic])
    seen = 0
    began = None
    while seen < count:
        first = consumer.poll(1.0)
        if first is None:
            continue
        if began is None:
            began = time.perf_counter()
        records = [first, *consumer.consume(499, 0)]
        for record in records:
            if record.error():
                raise RuntimeError(record.error())
        read(records)
        # One partition, so the last record stands for all.
        consumer.store_offsets(records[-1])
        seen += len(records)
    took = time.perf_counter() - (began or 0)
    consumer.close()
    return took


def _sending(headers: Callable[[], Headers]) -> Work:
    return partial(asyncio.to_thread, _raw_send_with(headers))


def _raw_send_with(headers: Callable[[], Headers]) -> Callable[[str, str, bytes, int], float]:
    return lambda *work: _raw_send(*work, headers)


def _raw_receive_with(
    read: Callable[[Sequence[Record]], None],
) -> Callable[[str, str, bytes, int], float]:
    return lambda *work: _raw_receive(*work, read)


def _receiving(read: Callable[[Sequence[Record]], None]) -> Work:
    return partial(asyncio.to_thread, _raw_receive_with(read))


raw_send = _sending(_own)


# --- ours -------------------------------------------------------------------------------------------------------


async def fill(broker: Broker, topic: str, body: bytes, count: int, at_once: int) -> float:
    await broker.send(topic, Message(b"warm up"))
    began = time.perf_counter()
    waiting: set[asyncio.Task[object]] = set()
    for start in range(0, count, at_once):
        # Making the messages is part of the work, as it is for everybody else.
        part = [Message(body, key=str(n)) for n in range(start, min(start + at_once, count))]
        if len(waiting) >= 4:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting.add(asyncio.create_task(broker.send_many(topic, part, timeout=300)))
    await asyncio.gather(*waiting)
    return time.perf_counter() - began


async def ours_send(servers: str, topic: str, body: bytes, count: int) -> float:
    async with connect(f"kafka://{servers}") as broker:
        return await fill(broker, topic, body, count, max(1, min(2000, 4_000_000 // len(body))))


async def drain(broker: Broker, topic: str, count: int) -> float:
    group = uuid.uuid4().hex
    group = f"g{group}"
    await broker.ensure(topic, group, start="oldest")
    async with broker.subscribe(topic, group=group, in_flight=4096) as subscription:
        seen = 0
        began = None
        async for batch in subscription.batches(500):
            if began is None:
                began = time.perf_counter()
            for message in batch.messages:
                message.data  # noqa: B018 - what a reader needs at least
                message.key  # noqa: B018
                message.id  # noqa: B018
            seen += len(batch)
            batch.ack()
            if seen >= count:
                break
        await subscription.settled()
        took = time.perf_counter() - (began or 0)
    await broker.forget(topic, group)
    return took


async def ours_receive(servers: str, topic: str, body: bytes, count: int) -> float:
    async with connect(f"kafka://{servers}") as broker:
        return await drain(broker, topic, count)


async def ours_receive_one_by_one(servers: str, topic: str, body: bytes, count: int) -> float:
    """`run` with an ack for each message: what FastStream is compared with."""
    group = f"g{uuid.uuid4().hex}"
    async with connect(f"kafka://{servers}") as broker:
        await broker.ensure(topic, group, start="oldest")
        async with broker.subscribe(topic, group=group) as subscription:
            seen = 0
            began = 0.0
            done = asyncio.Event()

            async def handle(_: object) -> None:
                nonlocal seen, began
                seen += 1
                if seen == 1:
                    began = time.perf_counter()
                if seen == count:
                    done.set()

            runner = asyncio.create_task(subscription.run(handle))
            await done.wait()
            await subscription.settled()
            took = time.perf_counter() - began
            await subscription.close()
            await runner
    return took


# --- aiokafka ---------------------------------------------------------------------------------------------------


async def aiokafka_send(servers: str, topic: str, body: bytes, count: int) -> float:
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, enable_idempotence=True, linger_ms=5, max_request_size=MAX_BYTES
    )
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"warm up")
        began = time.perf_counter()
        waiting = []
        for number in range(count):
            key = str(number).encode()
            waiting.append(await producer.send(topic, body, key=key, headers=HEADERS_BYTES))
            if len(waiting) >= 5000:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
        return time.perf_counter() - began
    finally:
        await producer.stop()


async def aiokafka_receive(servers: str, topic: str, body: bytes, count: int) -> float:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=MAX_BYTES,
    )
    await consumer.start()
    try:
        seen = 0
        began = None
        while seen < count:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=500)).values():
                if began is None:
                    began = time.perf_counter()
                for record in records:
                    (record.key or b"").decode()
                    dict(record.headers).get("ce_id", b"").decode()
                seen += len(records)
        await consumer.commit()
        return time.perf_counter() - (began or 0)
    finally:
        await consumer.stop()


# --- FastStream on confluent ------------------------------------------------------------------------------------


async def faststream_send(servers: str, topic: str, body: bytes, count: int) -> float:
    from faststream.confluent import KafkaBroker

    async with KafkaBroker(servers, acks="all", enable_idempotence=True, logger=None) as broker:
        await broker.publish(b"warm up", topic)
        began = time.perf_counter()
        for start in range(0, count, 500):
            await asyncio.gather(
                *(
                    broker.publish(body, topic, key=str(number).encode(), headers=HEADERS)
                    for number in range(start, min(start + 500, count))
                )
            )
        return time.perf_counter() - began


# --- FastStream on confluent, a message and an ack at a time ----------------------------------------------------


async def faststream_receive(servers: str, topic: str, body: bytes, count: int) -> float:
    from faststream import AckPolicy
    from faststream.confluent import KafkaBroker

    broker = KafkaBroker(servers, logger=None)
    seen = 0
    began = 0.0
    done = asyncio.Event()

    @broker.subscriber(
        topic, group_id=uuid.uuid4().hex, auto_offset_reset="earliest", ack_policy=AckPolicy.ACK
    )
    async def handle(body: bytes) -> None:
        nonlocal seen, began
        seen += 1
        if seen == 1:
            began = time.perf_counter()
        if seen == count:
            done.set()

    async with broker:
        await broker.start()
        await done.wait()
        return time.perf_counter() - began


RAW = Client("raw confluent-kafka", raw_send, _receiving(_read))
RAW_CONSTANT = Client("raw, headers always the same", _sending(lambda: HEADERS), None)
RAW_BARE = Client("raw, no headers / not read", _sending(lambda: None), _receiving(_ignore))
OURS = Client("hemline-broker", ours_send, ours_receive)
AIOKAFKA = Client("aiokafka", aiokafka_send, aiokafka_receive)
FASTSTREAM = Client("FastStream (confluent)", faststream_send, faststream_receive, part=10)
