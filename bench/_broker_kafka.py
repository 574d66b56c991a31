"""Kafka for bench/broker.py: a broker of its own, topics that last for a lap, messages that are there all at once."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from _broker_table import Client, Lap, Report
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

SCRIPT = Path(__file__).parents[1] / "tests" / "servers" / "kafka" / "kafka.sh"
PORT = 29892
MAX_BYTES = 16_000_000
HEADERS = {
    "ce_specversion": "1.0",
    "ce_id": "00000000-0000-7000-8000-000000000000",
    "ce_source": "bench",
    "ce_type": "bench",
    "ce_time": "2026-01-01T00:00:00.000000+00:00",
}
# What is deleted must leave the disk before the next lap fills it.
_PROPERTIES = "log.segment.delete.delay.ms=1000\nlog.retention.check.interval.ms=5000\n"


@dataclass(frozen=True)
class Running:
    """A broker, and the port by which `kafka.sh` knows it if it is ours."""

    servers: str
    port: int | None


@contextmanager
def kafka(given: str | None, report: Report) -> Iterator[Running | None]:
    """A broker that is named, or one that is started, or None where neither can be had."""
    if given:
        yield Running(given, None)
        return
    hint = "name a broker that is running with --kafka HOST:PORT"
    if not (shutil.which("java") and shutil.which("mvn")):
        report.missing(f"Kafka: Java and Maven are not here; install them, or {hint}")
        yield None
        return
    with tempfile.NamedTemporaryFile("w", suffix=".properties") as properties:
        properties.write(_PROPERTIES)
        properties.flush()
        command = [str(SCRIPT), "up", "--port", str(PORT), "--properties", properties.name]
        started = subprocess.run(command, capture_output=True, text=True, check=False)
    if started.returncode:
        report.missing(f"Kafka: {started.stderr.strip()}; mend that, or {hint}")
        yield None
        return
    try:
        yield Running(f"127.0.0.1:{PORT}", PORT)
    finally:
        down = [str(SCRIPT), "down", "--port", str(PORT)]
        subprocess.run(down, check=False, start_new_session=True)


class KafkaGround:
    """See `Ground`. Records are CloudEvents for everybody: five headers, of which id and time are of each message.

    Messages to be read are there all at once, for a clock that knows when the first of them could be read: a client
    reads ahead, and were they there when it joins, much of the work would be done before its first message is seen. So
    they are sent within a transaction, behind one message that says that the client has joined; starting the clock
    commits the transaction.
    """

    name = "Kafka"

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self._admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})
        self._producer = Producer(
            {
                **durable(servers),
                "transactional.id": uuid.uuid4().hex,
                "transaction.timeout.ms": 600_000,  # a client may take long to join on a busy machine
                "linger.ms": 50,
                "log_level": 0,  # it outlives the broker
            }
        )
        self._producer.init_transactions(30)

    async def round(self, client: Client, body: bytes, count: int) -> tuple[Lap | None, Lap | None]:
        """See `Ground`."""
        sent = received = None
        if client.send is not None:
            async with self.topic() as topic:
                sent = Lap(self._servers, topic, body, count)
                await client.send(sent)
        if client.receive is not None:
            async with self.topic() as topic:
                await asyncio.to_thread(self._fill, topic, body, count)
                received = _ReceivingLap(self._producer, self._servers, topic, body, count)
                await client.receive(received)
        return sent, received

    @asynccontextmanager
    async def topic(self, **settings: str) -> AsyncIterator[str]:
        """One partition, for a while."""
        name = f"bench-{uuid.uuid4().hex[:10]}"
        new = NewTopic(name, num_partitions=1, config=settings)
        await asyncio.to_thread(self._admin.create_topics([new])[name].result, 60)
        try:
            yield name
        finally:
            await asyncio.to_thread(self._admin.delete_topics([name])[name].result, 60)

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
