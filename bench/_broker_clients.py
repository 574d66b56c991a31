"""The clients that bench/broker.py compares, each sending and receiving the same bodies over the same topic."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from _broker_laps import HEADERS, MAX_BYTES, Lap, durable, own_headers
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, Producer
from confluent_kafka import Message as Record

from hemline_broker import Broker, Message, connect

Headers = dict[str, str] | None
HEADERS_BYTES = [(name, value.encode()) for name, value in HEADERS.items()]
Work = Callable[[Lap], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Client:
    """What moves a lap's messages; None for what the client is not compared in."""

    name: str
    send: Work | None
    receive: Work | None
    part: int = 1  # of the messages it gets one in so many, because it is slow


# --- raw confluent-kafka in its best form ------------------------------------------------------------------------
#
# One thread; acks=all and idempotence; one delivery report per message, so that a loss would be known; poll(0) every
# 512 messages. Ours sends CloudEvents, so its peer does: five headers, of which id and time are of each message. What
# it would be with headers that are always the same, or none, is shown beside it. Reading ends with a commit that the
# broker has confirmed, as ours does.


def _constant() -> dict[str, str]:
    return HEADERS


def _none() -> None:
    return None


def _raw_send(headers: Callable[[], Headers], lap: Lap) -> None:
    producer = Producer(durable(lap.servers))
    topic, body = lap.topic, lap.body
    failed = []

    def report(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer.produce(topic, b"warm up", on_delivery=report)
    producer.flush()
    lap.start()
    for number in range(lap.count):
        while True:
            try:
                producer.produce(topic, body, str(number), headers=headers(), on_delivery=report)
                break
            except BufferError:
                producer.poll(0.01)
        if number % 512 == 0:
            producer.poll(0)
    producer.flush()
    lap.stop()
    if failed:
        raise RuntimeError(f"{len(failed)} messages failed, the first: {failed[0]}")


def _read(records: Sequence[Record]) -> None:
    """Body, key and CloudEvents id as text: what a reader needs at least, and what ours is asked for as well."""
    for record in records:
        record.value()
        (record.key() or b"").decode()
        for name, value in record.headers() or ():
            if name == "ce_id":
                value.decode()
                break


def _ignore(records: Sequence[Record]) -> None:
    """Look at nothing."""


def _raw_receive(read: Callable[[Sequence[Record]], None], lap: Lap) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": lap.servers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.offset.store": False,
            "fetch.message.max.bytes": MAX_BYTES,
            "fetch.queue.backoff.ms": 20,
        }
    )
    consumer.subscribe([lap.topic])
    while consumer.poll(1.0) is None:
        pass
    lap.start()
    seen = 0
    while seen < lap.count:
        first = consumer.poll(1.0)
        if first is None:
            continue
        records = [first, *consumer.consume(499, 0)]
        for record in records:
            if record.error():
                raise RuntimeError(record.error())
        read(records)
        # One partition, so the last record stands for all.
        consumer.store_offsets(records[-1])
        seen += len(records)
    consumer.commit(asynchronous=False)
    lap.stop()
    consumer.close()


def _in_thread(work: Callable[[Any, Lap], None], how: Callable[..., object]) -> Work:
    return partial(asyncio.to_thread, work, how)


# --- ours -------------------------------------------------------------------------------------------------------


async def fill(broker: Broker, topic: str, body: bytes, count: int, at_once: int) -> float:
    """Seconds that sending so many messages takes, a connection that is in use taken for granted."""
    await broker.send(topic, Message(b"warm up"))
    began = time.perf_counter()
    await _pour(broker, topic, body, count, at_once)
    return time.perf_counter() - began


async def _pour(broker: Broker, topic: str, body: bytes, count: int, at_once: int) -> None:
    waiting: set[asyncio.Task[object]] = set()
    for start in range(0, count, at_once):
        # Making the messages is part of the work, as it is for everybody else.
        part = [Message(body, key=str(n)) for n in range(start, min(start + at_once, count))]
        if len(waiting) >= 4:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting.add(asyncio.create_task(broker.send_many(topic, part, timeout=300)))
    await asyncio.gather(*waiting)


async def ours_send(lap: Lap) -> None:
    async with connect(f"kafka://{lap.servers}") as broker:
        at_once = max(1, min(2000, 4_000_000 // len(lap.body)))
        # As many as make the bulk producer: connecting is not counted.
        await broker.send_many(lap.topic, [Message(b"warm up")] * 100)
        lap.start()
        await _pour(broker, lap.topic, lap.body, lap.count, at_once)
        lap.stop()


async def drain(broker: Broker, lap: Lap) -> None:
    """One message by which the clock starts unless it runs, then the lap's."""
    group = f"g{uuid.uuid4().hex}"
    await broker.ensure(lap.topic, group, start="oldest")
    async with broker.subscribe(lap.topic, group=group, in_flight=4096) as subscription:
        left = lap.count + 1
        async for batch in subscription.batches(500):
            if not lap.wall:
                lap.start()
            for message in batch.messages:
                message.data  # noqa: B018 - what a reader needs at least
                message.key  # noqa: B018
                message.id  # noqa: B018
            left -= len(batch)
            batch.ack()
            if not left:
                break
        await subscription.settled()
        lap.stop()
    await broker.forget(lap.topic, group)


async def ours_receive(lap: Lap) -> None:
    async with connect(f"kafka://{lap.servers}") as broker:
        await drain(broker, lap)


async def ours_one_by_one(lap: Lap) -> None:
    """`run` with an ack for each message: what FastStream is compared with."""
    group = f"g{uuid.uuid4().hex}"
    async with connect(f"kafka://{lap.servers}") as broker:
        await broker.ensure(lap.topic, group, start="oldest")
        async with broker.subscribe(lap.topic, group=group) as subscription:
            handle, done = _counting(lap)
            runner = asyncio.create_task(subscription.run(handle))
            await done
            await subscription.settled()
            lap.stop()
            await subscription.close()
            await runner


def _counting(
    lap: Lap,
) -> tuple[Callable[[object], Coroutine[Any, Any, None]], asyncio.Future[None]]:
    """A handler that starts the clock at its first message, and what it resolves after the last."""
    left = lap.count + 1
    done = asyncio.get_running_loop().create_future()

    async def handle(_: object) -> None:
        nonlocal left
        try:
            if left > lap.count:
                lap.start()
        except Exception as error:  # noqa: BLE001 - a framework would log it and go on
            done.set_exception(error)
        left -= 1
        if not left:
            done.set_result(None)

    return handle, done


# --- aiokafka ---------------------------------------------------------------------------------------------------


async def aiokafka_send(lap: Lap) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=lap.servers,
        enable_idempotence=True,
        linger_ms=5,
        max_request_size=MAX_BYTES,
    )
    await producer.start()
    try:
        await producer.send_and_wait(lap.topic, b"warm up")
        lap.start()
        waiting = []
        for number in range(lap.count):
            key = str(number).encode()
            waiting.append(await producer.send(lap.topic, lap.body, key=key, headers=HEADERS_BYTES))
            if len(waiting) >= 5000:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
        lap.stop()
    finally:
        await producer.stop()


async def aiokafka_receive(lap: Lap) -> None:
    consumer = AIOKafkaConsumer(
        lap.topic,
        bootstrap_servers=lap.servers,
        group_id=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_partition_fetch_bytes=MAX_BYTES,
    )
    await consumer.start()
    try:
        await consumer.getone()
        lap.start()
        seen = 0
        while seen < lap.count:
            for records in (await consumer.getmany(timeout_ms=1000, max_records=500)).values():
                for record in records:
                    (record.key or b"").decode()
                    dict(record.headers).get("ce_id", b"").decode()
                seen += len(records)
        await consumer.commit()
        lap.stop()
    finally:
        await consumer.stop()


# --- FastStream on confluent ------------------------------------------------------------------------------------


async def faststream_send(lap: Lap) -> None:
    from faststream.confluent import KafkaBroker

    async with KafkaBroker(lap.servers, acks="all", enable_idempotence=True, logger=None) as broker:
        await broker.publish(b"warm up", lap.topic)
        lap.start()
        for start in range(0, lap.count, 500):
            await asyncio.gather(
                *(
                    broker.publish(lap.body, lap.topic, key=str(number).encode(), headers=HEADERS)
                    for number in range(start, min(start + 500, lap.count))
                )
            )
        lap.stop()


async def faststream_one_by_one(lap: Lap) -> None:
    from faststream import AckPolicy
    from faststream.confluent import KafkaBroker

    broker = KafkaBroker(lap.servers, logger=None)
    count, done = _counting(lap)

    @broker.subscriber(
        lap.topic,
        group_id=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        ack_policy=AckPolicy.ACK,
    )
    async def handle(body: bytes) -> None:
        await count(body)

    async with broker:
        await broker.start()
        await done
        lap.stop()


RAW = Client(
    "raw confluent-kafka", _in_thread(_raw_send, own_headers), _in_thread(_raw_receive, _read)
)
RAW_CONSTANT = Client("raw, headers always the same", _in_thread(_raw_send, _constant), None)
RAW_BARE = Client(
    "raw, no headers / not read", _in_thread(_raw_send, _none), _in_thread(_raw_receive, _ignore)
)
OURS = Client("hemline-broker", ours_send, ours_receive)
AIOKAFKA = Client("aiokafka", aiokafka_send, aiokafka_receive, part=4)
FASTSTREAM = Client("FastStream (confluent)", faststream_send, faststream_one_by_one, part=10)
