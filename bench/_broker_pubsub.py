"""Pub/Sub's emulator: the official client in its best form, ours and kombu, in rounds that alternate.

kombu's transport imports google-cloud-monitoring, which it asks for the length of a queue, but not where
PUBSUB_EMULATOR_HOST is set: nothing is missing here. It offers no way to learn that a message was taken: its publisher
is flushed at the end of a round, and what failed would not be known.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _broker_clients import fill
from google.cloud import pubsub_v1
from kombu import Connection, Consumer, Exchange, Producer, Queue

from hemline_broker import Broker, connect

SCRIPT = Path(__file__).parents[1] / "tests" / "servers" / "pubsub" / "pubsub.sh"
PORT = 29985
PROJECT = "bench"

Work = Callable[[str, bytes, int], Awaitable[float]]


@contextmanager
def emulator(given: str | None) -> Iterator[str | None]:
    """HOST:PORT of an emulator."""
    if given:
        yield given
        return
    script = [str(SCRIPT)]
    found = subprocess.run([*script, "find"], capture_output=True, text=True, check=False)
    if found.returncode or not shutil.which("java"):
        print("pubsub: left out: the Cloud SDK's pubsub-emulator or Java is not here; see --pubsub")
        yield None
        return
    subprocess.run([*script, "up", "--port", str(PORT)], check=True, stdout=subprocess.DEVNULL)
    try:
        yield f"127.0.0.1:{PORT}"
    finally:
        down = [*script, "down", "--port", str(PORT)]
        subprocess.run(down, check=False, stdout=subprocess.DEVNULL)


@asynccontextmanager
async def _ours() -> AsyncIterator[Broker]:
    endpoint = os.environ["PUBSUB_EMULATOR_HOST"]
    # Nothing is kept that was acknowledged: the emulator keeps it in memory.
    async with connect(f"pubsub://{PROJECT}?endpoint={endpoint}&retention=0") as broker:
        yield broker


def _names(topic: str) -> tuple[str, str]:
    return f"projects/{PROJECT}/topics/{topic}", f"projects/{PROJECT}/subscriptions/{topic}.g"


async def official_send(topic: str, body: bytes, count: int) -> float:
    """`publish` with batches as large as Pub/Sub takes, every future waited for."""
    batches = pubsub_v1.types.BatchSettings(
        max_messages=1000, max_bytes=9_000_000, max_latency=0.05
    )
    client = pubsub_v1.PublisherClient(batch_settings=batches)
    name, _ = _names(topic)
    client.publish(name, b"warm up", id="0").result()
    began = time.perf_counter()
    futures = [
        client.publish(name, body, key=str(n), id=uuid.uuid4().hex, type="bench")
        for n in range(count)
    ]
    for future in futures:
        future.result()
    took = time.perf_counter() - began
    client.stop()
    return took


async def official_receive(topic: str, body: bytes, count: int) -> float:
    """`subscribe` with a callback that reads what ours reads, and acks."""
    client = pubsub_v1.SubscriberClient()
    _, name = _names(topic)
    done, first = threading.Event(), threading.Event()
    seen, began = 0, 0.0
    lock = threading.Lock()

    def handle(message: pubsub_v1.subscriber.message.Message) -> None:
        nonlocal seen, began
        message.data, message.attributes.get("key"), message.attributes.get("id")
        message.ack()
        with lock:
            if not seen:
                began = time.perf_counter()
                first.set()
            seen += 1
            if seen >= count:
                done.set()

    flow = pubsub_v1.types.FlowControl(max_messages=4096)
    pull = client.subscribe(name, handle, flow_control=flow)
    if not done.wait(300):
        raise SystemExit(f"error: the official client received {seen} of {count} messages")
    took = time.perf_counter() - began
    pull.cancel()
    pull.result()
    client.close()
    return took


async def ours_send(topic: str, body: bytes, count: int) -> float:
    """`send_many`."""
    async with _ours() as broker:
        return await fill(broker, topic, body, count, max(1, min(1000, 4_000_000 // len(body))))


async def ours_receive(topic: str, body: bytes, count: int) -> float:
    """`batches`, each acked as a whole."""
    async with (
        _ours() as broker,
        broker.subscribe(topic, group="g", in_flight=4096) as subscription,
    ):
        seen, began = 0, 0.0
        async for batch in subscription.batches(500):
            began = began or time.perf_counter()
            for message in batch.messages:
                message.data, message.key, message.id  # noqa: B018
            seen += len(batch)
            batch.ack()
            if seen >= count:
                break
        took = time.perf_counter() - began
        await subscription.settled()
        return took


def _kombu(topic: str) -> tuple[Connection, Queue]:
    """A connection that pulls as many messages at once as it can hold, and a queue of the topic."""
    options = {"queue_name_prefix": "", "bulk_max_messages": 1000}
    connection = Connection(f"gcpubsub://projects/{PROJECT}", transport_options=options)
    exchange = Exchange(topic, type="direct")
    return connection, Queue(f"{topic}-g", exchange, routing_key="bench")


async def kombu_send(topic: str, body: bytes, count: int) -> float:
    """`Producer.publish`, flushed at the end; the body travels as base64 within JSON."""
    connection, queue = _kombu(topic)
    with connection:
        channel = connection.channel()
        queue(channel).declare()
        producer = Producer(channel, queue.exchange, queue.routing_key, auto_declare=False)
        began = time.perf_counter()
        for number in range(count):
            headers = {"key": str(number), "id": uuid.uuid4().hex, "type": "bench"}
            producer.publish(
                body, content_type="image/png", content_encoding="binary", headers=headers
            )
        channel.publisher.stop()
        return time.perf_counter() - began


async def kombu_receive(topic: str, body: bytes, count: int) -> float:
    """A `Consumer` with a callback that reads the same, and acks: a request for each message."""
    connection, queue = _kombu(topic)
    seen, began = 0, 0.0

    def handle(data: bytes, message: Any) -> None:
        nonlocal seen, began
        began = began or time.perf_counter()
        data, message.headers["key"], message.headers["id"]
        message.ack()
        seen += 1

    with (
        connection,
        Consumer(connection.channel(), [queue], callbacks=[handle], prefetch_count=1000),
    ):
        while seen < count:
            connection.drain_events(timeout=300)
    return time.perf_counter() - began


@dataclass(frozen=True)
class Peer:
    """A client; it gets one message in `part`, because it is slow; `declares` its subscription itself."""

    send: Work
    receive: Work
    part: int = 1
    declares: bool = False


PEERS = {
    "google-cloud-pubsub": Peer(official_send, official_receive),
    "hemline-broker": Peer(ours_send, ours_receive),
    "kombu": Peer(kombu_send, kombu_receive, part=8, declares=True),
}


async def _round(peer: Peer, body: bytes, count: int) -> tuple[float, float]:
    """Messages a second, sent and received, of one client on a topic of its own."""
    topic = f"t{uuid.uuid4().hex}"
    async with _ours() as broker:
        await broker.ensure(topic, group=None if peer.declares else "g")
    sent = count / await peer.send(topic, body, count)
    return sent, count / await peer.receive(topic, body, count)


async def compare(rounds: int, count: int, found: list[tuple[str, float, str]]) -> None:
    """Print a table and add the figure: the smaller of the two ratios at 200 bytes."""
    print(
        "\nPub/Sub's emulator                  size     send/s  of official  receive/s  of official"
    )
    for size, part in ((200, 1), (10_000, 4)):
        body = os.urandom(size)
        rates: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
        for number in range(rounds):
            for name in sorted(PEERS, reverse=bool(number % 2)):
                peer = PEERS[name]
                rates[name].append(await _round(peer, body, count // part // peer.part))
        official = rates["google-cloud-pubsub"]
        for name, each in rates.items():
            line = f"  {name:30}{size:8,}"
            ratios = []
            for side in (0, 1):
                rate = statistics.median(one[side] for one in each)
                pairs = zip(each, official, strict=True)
                ratios.append(statistics.median(a[side] / b[side] for a, b in pairs))
                line += f"{rate:11,.0f}{ratios[-1]:13.2f}"
            print(line)
            if size == 200 and name == "hemline-broker":
                found.append(("broker.pubsub.of_official", min(ratios), "ratio"))
                found.append(("broker.pubsub.send.of_official", ratios[0], "ratio"))
                found.append(("broker.pubsub.receive.of_official", ratios[1], "ratio"))
    print(
        "  kombu sends without learning what was taken, as base64 within JSON, and acks one message a request;\n"
        "  on the emulator its transport makes no call of the Monitoring API, which it imports"
    )
