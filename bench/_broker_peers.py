"""The peers of bench/broker.py on Kafka: aiokafka, and FastStream's confluent backend in batches and one by one."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from _broker_clients import counting
from _broker_kafka import HEADERS, MAX_BYTES
from _broker_table import Client, Lap
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream import AckPolicy
from faststream.confluent import KafkaBroker
from faststream.message import StreamMessage

HEADERS_BYTES = [(name, value.encode()) for name, value in HEADERS.items()]


# --- aiokafka ---------------------------------------------------------------------------------------------------


async def aiokafka_send(lap: Lap) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=lap.address,
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
        bootstrap_servers=lap.address,
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
#
# Its clock stops when the last handler is called: its last ack, unlike that of everybody else, is not waited for,
# because there is nothing to wait with. Without a decoder it would look for JSON in each body.


async def _as_it_is(message: StreamMessage[Any]) -> Any:
    return message.body


def _consuming(lap: Lap) -> tuple[KafkaBroker, dict[str, Any]]:
    broker = KafkaBroker(lap.address, logger=None, decoder=_as_it_is)
    options = {
        "group_id": uuid.uuid4().hex,
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        "max_partition_fetch_bytes": MAX_BYTES,
        "ack_policy": AckPolicy.ACK,
    }
    return broker, options


async def _consume(broker: KafkaBroker, lap: Lap, done: asyncio.Future[None]) -> None:
    async with broker:
        await broker.start()
        await done
        lap.stop()


async def faststream_send(lap: Lap) -> None:
    """`publish`, hundreds at once: `publish_batch` is the same with one key for all."""
    broker = KafkaBroker(
        lap.address,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_request_size=MAX_BYTES,
        logger=None,
    )
    async with broker:
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


async def faststream_batches(lap: Lap) -> None:
    """A handler of batches, each acked as a whole."""
    broker, options = _consuming(lap)
    count, done = counting(lap)

    @broker.subscriber(lap.topic, batch=True, max_records=500, **options)
    async def handle(bodies: list[bytes]) -> None:
        count(len(bodies))

    await _consume(broker, lap, done)


async def faststream_one_by_one(lap: Lap) -> None:
    """A handler and an ack for each message."""
    broker, options = _consuming(lap)
    count, done = counting(lap)

    @broker.subscriber(lap.topic, **options)
    async def handle(body: bytes) -> None:
        count(1)

    await _consume(broker, lap, done)


AIOKAFKA = Client("aiokafka", aiokafka_send, aiokafka_receive, part=4)
FASTSTREAM = Client("FastStream (confluent)", faststream_send, faststream_batches, part=5)
FASTSTREAM_EACH = Client("FastStream, one by one", None, faststream_one_by_one, part=5)
