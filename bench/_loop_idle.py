"""Latency of a lone image through Kafka: through the service and through the shortest loop, in turn."""

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from _loop_service import Service
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

PATIENCE_S = 60.0
# librdkafka would report on stderr that the broker, which ends before these clients, has gone.
SILENT = {"log_level": 0}


class Client:
    """Sends one image to a topic and waits for the answer on another."""

    def __init__(self, server: str, source: str, target: str) -> None:
        self._source = source
        self._producer = Producer({"bootstrap.servers": server, "linger.ms": 0, **SILENT})
        self._consumer = Consumer(
            {
                "bootstrap.servers": server,
                "group.id": f"{target}.client-{random.getrandbits(32)}",
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                **SILENT,
            }
        )
        assigned: list[object] = []
        self._consumer.subscribe([target], on_assign=lambda _, parts: assigned.extend(parts))
        deadline = time.monotonic() + PATIENCE_S
        while not assigned:
            self._consumer.poll(0.1)
            if time.monotonic() > deadline:
                raise SystemExit(f"error: no place in the group of {target}")

    def ask(self, image: bytes, name: str) -> float:
        """Seconds from sending the image to holding its answer."""
        began = time.perf_counter()
        self._producer.produce(self._source, image, key=name)
        self._producer.poll(0)
        while time.perf_counter() - began < PATIENCE_S:
            message = self._consumer.poll(1.0)
            if message is not None and not message.error() and message.key() == name.encode():
                return time.perf_counter() - began
        raise SystemExit(f"error: no answer to {name} in {PATIENCE_S:g} s")

    def close(self) -> None:
        """Leave."""
        self._producer.flush()
        self._consumer.close()


def measure(
    server: str, service: Service, encoded: Sequence[bytes], count: int, pause_s: float
) -> tuple[list[float], list[float]]:
    """Latencies of the service and of the bare loop, in seconds, image by image in turn."""
    run = f"{random.getrandbits(32):08x}"
    source, target = f"bare-{run}.images", f"bare-{run}.predictions"
    admin = AdminClient({"bootstrap.servers": server, **SILENT})
    _wait(admin.create_topics([NewTopic(name, 1, 1) for name in (source, target)]))
    bare = subprocess.Popen(
        [
            sys.executable, str(Path(__file__).with_name("_loop_peers.py")), "kafka",
            "--server", server, "--source", source, "--target", target,
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    process = service.start()
    ours = Client(server, service.topics.images, service.topics.predictions)
    theirs = Client(server, source, target)
    try:
        # The first answers hold the joining of groups and are not counted.
        for number in range(10):
            ours.ask(encoded[number], f"{run}-warm-{number}")
            theirs.ask(encoded[number], f"{run}-warm-{number}")
        mine: list[float] = []
        other: list[float] = []
        for number in range(count):
            for client, seen in ((ours, mine), (theirs, other)):
                time.sleep(random.uniform(0.5, 1.5) * pause_s)
                seen.append(client.ask(encoded[number % len(encoded)], f"{run}-{number}"))
        return mine, other
    finally:
        ours.close()
        theirs.close()
        process.stop()
        bare.kill()
        bare.wait()
        # The server may be somebody's: what this benchmark made there is removed.
        _wait(admin.delete_topics([source, target, *service.topics.all()]))


def _wait(changes: dict[str, Future[None]]) -> None:
    for name, change in changes.items():
        try:
            change.result(30)
        except KafkaException as error:
            # Of the classifier's four topics the labels' is never made here.
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise SystemExit(f"error: topic {name}: {error}") from error
