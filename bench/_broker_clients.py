"""The clients that bench/broker.py compares first of all: raw confluent-kafka in its best form, and ours.

The raw client: one thread; acks=all and idempotence; one delivery report per message, so that a loss would be known;
poll(0) every 512 messages. Ours sends CloudEvents, so its peer does: five headers, of which id and time are of each
message. What it would be with headers that are always the same, or none, is shown beside it. Reading ends with a commit
that the broker has confirmed, as ours does.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from _broker_kafka import HEADERS, MAX_BYTES, durable, own_headers
from _broker_table import Client, Lap, Work
from confluent_kafka import Consumer, Producer
from confluent_kafka import Message as Record

from hemline_broker import Broker, Message, connect

Headers = dict[str, str] | None
_BYTES_AT_ONCE = 4_000_000


def _constant() -> dict[str, str]:
    return HEADERS


def _none() -> None:
    return None


def _raw_send(headers: Callable[[], Headers], lap: Lap) -> None:
    producer = Producer(durable(lap.address))
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
            "bootstrap.servers": lap.address,
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


async def ours_send(url: str, at_once: int, warm_ups: int, lap: Lap) -> None:
    """`send_many`, four calls at once, each of so many messages or 4 MB."""
    async with connect(url.format(lap.address)) as broker:
        await broker.send_many(lap.topic, [Message(b"warm up")] * warm_ups)
        lap.start()
        await _pour(broker, lap, max(1, min(at_once, _BYTES_AT_ONCE // len(lap.body))))
        lap.stop()


async def _pour(broker: Broker, lap: Lap, at_once: int) -> None:
    waiting: set[asyncio.Task[object]] = set()
    for start in range(0, lap.count, at_once):
        # Making the messages is part of the work, as it is for everybody else.
        numbers = range(start, min(start + at_once, lap.count))
        part = [Message(lap.body, key=str(number)) for number in numbers]
        if len(waiting) >= 4:
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waiting.add(asyncio.create_task(broker.send_many(lap.topic, part, timeout=300)))
    await asyncio.gather(*waiting)


async def ours_receive(url: str, lap: Lap) -> None:
    """`batches`, each acked as a whole; the clock starts at the message that says that we are there."""
    group = f"g{uuid.uuid4().hex}"
    async with connect(url.format(lap.address)) as broker:
        await broker.ensure(lap.topic, group, start="oldest")
        await drain(broker, lap, group)


async def drain(broker: Broker, lap: Lap, group: str) -> None:
    """One message by which the clock starts unless it runs, then the lap's, until every ack has counted."""
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
            if left <= 0:
                break
        await subscription.settled()
        lap.stop()


async def ours_one_by_one(lap: Lap) -> None:
    """`run` with an ack for each message: what FastStream is compared with."""
    group = f"g{uuid.uuid4().hex}"
    async with connect(_URL.format(lap.address)) as broker:
        await broker.ensure(lap.topic, group, start="oldest")
        async with broker.subscribe(lap.topic, group=group) as subscription:
            count, done = counting(lap)

            async def handle(_: object) -> None:
                count(1)

            runner = asyncio.create_task(subscription.run(handle))
            await done
            await subscription.settled()
            lap.stop()
            await subscription.close()
            await runner


def counting(lap: Lap) -> tuple[Callable[[int], None], asyncio.Future[None]]:
    """What a handler calls with the number of messages it got, and what that resolves after the last.

    The first message starts the clock.
    """
    left = lap.count + 1
    done = asyncio.get_running_loop().create_future()

    def count(number: int) -> None:
        nonlocal left
        try:
            if left > lap.count:
                lap.start()
        except Exception as error:  # noqa: BLE001 - a framework would log it and go on
            done.set_exception(error)
        left -= number
        if left <= 0 and not done.done():
            done.set_result(None)

    return count, done


_URL = "kafka://{}"
RAW = Client(
    "raw confluent-kafka", _in_thread(_raw_send, own_headers), _in_thread(_raw_receive, _read)
)
RAW_CONSTANT = Client("raw, constant headers", _in_thread(_raw_send, _constant), None)
RAW_BARE = Client(
    "raw, no headers / not read", _in_thread(_raw_send, _none), _in_thread(_raw_receive, _ignore)
)
# As many warm-ups as make the bulk producer: connecting is not counted.
OURS = Client("hemline-broker", partial(ours_send, _URL, 2000, 100), partial(ours_receive, _URL))
OURS_EACH = Client("hemline-broker, run()", None, ours_one_by_one)
