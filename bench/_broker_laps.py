"""The clock of bench/broker.py, and what it is held to: so many messages to send, or to receive.

Records are CloudEvents for everybody: five headers, of which id and time are of each message.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Producer

from hemline_broker import connect

MAX_BYTES = 16_000_000
HEADERS = {
    "ce_specversion": "1.0",
    "ce_id": "00000000-0000-7000-8000-000000000000",
    "ce_source": "bench",
    "ce_type": "bench",
    "ce_time": "2026-01-01T00:00:00.000000+00:00",
}


class Lap:
    """What one client moves once. It starts and stops the clock itself: connecting and closing are not counted.

    Attributes:
        wall: seconds between start and stop.
        cpu: seconds of processor time of this process in between, librdkafka's threads included.
    """

    def __init__(self, servers: str, topic: str, body: bytes, count: int) -> None:
        self.servers = servers
        self.topic = topic
        self.body = body
        self.count = count
        self.wall = self.cpu = 0.0

    def start(self) -> None:
        self.wall, self.cpu = -time.perf_counter(), -time.process_time()

    def stop(self) -> None:
        self.wall += time.perf_counter()
        self.cpu += time.process_time()


class Stock:
    """Messages that are there all at once, for a clock that knows when the first of them could be read.

    A client reads ahead: were they there when it joins, much of the work would be done before its first message is
    seen. So they are sent within a transaction, behind one message that says that the client has joined; starting the
    clock commits the transaction.
    """

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._producer = Producer(
            {
                **durable(servers),
                "transactional.id": uuid.uuid4().hex,
                "transaction.timeout.ms": 600_000,  # a client may take long to join on a busy machine
                "linger.ms": 50,
            }
        )
        self._producer.init_transactions(60)

    async def lap(self, body: bytes, count: int) -> Lap:
        topic = await make_topic(self._servers)
        await asyncio.to_thread(self._fill, topic, body, count)
        return _ReceivingLap(self._producer, self._servers, topic, body, count)

    def _fill(self, topic: str, body: bytes, count: int) -> None:
        self._producer.begin_transaction()
        self._producer.produce(topic, b"warm up")
        self._producer.commit_transaction(60)
        self._producer.begin_transaction()
        for number in range(count):
            while True:
                try:
                    self._producer.produce(topic, body, str(number), headers=own_headers())
                    break
                except BufferError:
                    self._producer.poll(0.01)
        self._producer.flush()


class _ReceivingLap(Lap):
    def __init__(
        self, producer: Producer, servers: str, topic: str, body: bytes, count: int
    ) -> None:
        super().__init__(servers, topic, body, count)
        self._producer = producer

    def start(self) -> None:
        self._producer.commit_transaction(60)
        super().start()


async def make_topic(servers: str) -> str:
    topic = f"bench-{uuid.uuid4().hex[:10]}"
    async with connect(f"kafka://{servers}") as broker:
        await broker.ensure(topic)
    return topic


def durable(servers: str) -> dict[str, Any]:
    """Settings of every raw producer: acks=all and idempotence."""
    return {
        "bootstrap.servers": servers,
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "message.max.bytes": MAX_BYTES,
        "queue.buffering.max.messages": 1_000_000,
    }


def own_headers() -> dict[str, str]:
    """An id and a time of each message's own; not `uuid4`, whose system call costs more than the rest."""
    return {
        "ce_specversion": "1.0",
        "ce_id": f"{random.getrandbits(128):032x}",
        "ce_source": "bench",
        "ce_type": "bench",
        "ce_time": datetime.now(UTC).isoformat(),
    }
