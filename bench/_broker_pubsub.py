"""Pub/Sub's emulator for bench/broker.py: the official client in its best form, ours and kombu.

Everybody receives what it has sent. The clock of receiving starts when a client that is connected asks for messages, so
nothing can be read ahead, and stops when the server has confirmed every ack: for ours when `settled` returns, for the
official client when the last of its Acknowledge requests was answered, which `_Confirming` counts (its own
`ack_with_response` tells something only with exactly-once delivery, which the emulator lacks), for kombu when its last
`ack` returns, a request each.

kombu's transport imports google-cloud-monitoring, which it asks for the length of a queue, but not where
PUBSUB_EMULATOR_HOST is set: nothing is missing here. It offers no way to learn that a message was taken: its publisher
is flushed at the end of a round, and what failed would not be known.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from _broker_clients import drain, ours_send
from _broker_table import Client, Lap, Report
from google.cloud import pubsub_v1
from kombu import Connection, Consumer, Exchange, Producer, Queue

from hemline_broker import connect

SCRIPT = Path(__file__).parents[1] / "tests" / "servers" / "pubsub" / "pubsub.sh"
PORT = 29985
PROJECT = "bench"
# Nothing is kept that was acknowledged: the emulator keeps it in memory.
_URL = f"pubsub://{PROJECT}?endpoint={{}}&retention=0"
_GROUP = "g"
_IN_FLIGHT_BYTES = 256 << 20  # ours by default, so the official client has the same
_TIMEOUT_S = 300.0


@contextmanager
def emulator(given: str | None, report: Report) -> Iterator[str | None]:
    """HOST:PORT of an emulator, named in the environment as well: the official client finds it by that alone."""
    if given:
        os.environ["PUBSUB_EMULATOR_HOST"] = given
        yield given
        return
    script = [str(SCRIPT)]
    hint = "name an emulator that is running with --pubsub HOST:PORT"
    found = subprocess.run([*script, "find"], capture_output=True, text=True, check=False)
    if found.returncode or not shutil.which("java"):
        why = found.stderr.strip() or "Java is not here"
        report.missing(f"Pub/Sub: {why}; mend that, or {hint}")
        yield None
        return
    up = [*script, "up", "--port", str(PORT)]
    started = subprocess.run(up, capture_output=True, text=True, check=False)
    if started.returncode:
        report.missing(f"Pub/Sub: {started.stderr.strip()}; mend that, or {hint}")
        yield None
        return
    os.environ["PUBSUB_EMULATOR_HOST"] = f"127.0.0.1:{PORT}"
    try:
        yield f"127.0.0.1:{PORT}"
    finally:
        down = [*script, "down", "--port", str(PORT)]
        subprocess.run(down, check=False, stdout=subprocess.DEVNULL, start_new_session=True)


class PubsubGround:
    """See `Ground`."""

    name = "Pub/Sub"

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    async def round(self, client: Client, body: bytes, count: int) -> tuple[Lap | None, Lap | None]:
        """What is received is what was sent."""
        sent = received = None
        async with self._topic(client) as topic:
            if client.send is not None:
                sent = Lap(self._endpoint, topic, body, count)
                await client.send(sent)
            if client.receive is not None:
                received = Lap(self._endpoint, topic, body, count)
                await client.receive(received)
        return sent, received

    @asynccontextmanager
    async def _topic(self, client: Client) -> AsyncIterator[str]:
        """With a subscription, unless that is what the client declares itself; gone afterwards, from memory as well."""
        topic = f"t{uuid.uuid4().hex}"
        async with connect(_URL.format(self._endpoint)) as broker:
            await broker.ensure(topic, None if client is KOMBU else _GROUP)
            yield topic
        subscription = f"{topic}-g" if client is KOMBU else f"{topic}.{_GROUP}"
        with pubsub_v1.SubscriberClient() as subscriber, pubsub_v1.PublisherClient() as publisher:
            subscriber.delete_subscription(subscription=_subscription(subscription))
            publisher.delete_topic(topic=f"projects/{PROJECT}/topics/{topic}")


def _subscription(name: str) -> str:
    return f"projects/{PROJECT}/subscriptions/{name}"


def _unlimited() -> dict[str, Any]:
    """Options of a `SubscriberClient` that takes as much in one response as it does from Pub/Sub itself.

    With PUBSUB_EMULATOR_HOST alone it makes itself a channel that refuses more than 4 MB, and asks again for ever.
    """
    channel = grpc.insecure_channel(
        os.environ["PUBSUB_EMULATOR_HOST"], options=[("grpc.max_receive_message_length", -1)]
    )
    return {"transport": pubsub_v1.SubscriberClient.get_transport_class("grpc")(channel=channel)}


# --- the official client in its best form ------------------------------------------------------------------------


async def _official_send(lap: Lap) -> None:
    """`publish` with batches as large as Pub/Sub takes, every future waited for."""
    batches = pubsub_v1.types.BatchSettings(
        max_messages=1000, max_bytes=9_000_000, max_latency=0.05
    )
    client = pubsub_v1.PublisherClient(batch_settings=batches)
    name = f"projects/{PROJECT}/topics/{lap.topic}"
    client.publish(name, b"warm up", id="0").result()
    lap.start()
    futures = [
        client.publish(name, lap.body, key=str(n), id=uuid.uuid4().hex, type="bench")
        for n in range(lap.count)
    ]
    for future in futures:
        future.result()
    lap.stop()
    client.stop()


class _Confirming(pubsub_v1.SubscriberClient):
    """Counts acks that the server has answered, and stops a lap's clock at the last."""

    def __init__(self, lap: Lap) -> None:
        super().__init__(**_unlimited())
        self.done = threading.Event()
        self._lap = lap
        self._left = lap.count + 1

    @property
    def left(self) -> int:
        """Acks without an answer."""
        return self._left

    def acknowledge(self, *args: Any, ack_ids: Sequence[str], **options: Any) -> None:
        """What the streaming pull calls, from one thread."""
        super().acknowledge(*args, ack_ids=ack_ids, **options)
        self._left -= len(ack_ids)
        if self._left <= 0 and not self.done.is_set():
            self._lap.stop()
            self.done.set()


async def _official_receive(lap: Lap) -> None:
    """`subscribe` with a callback that reads what ours reads, and acks."""
    name = _subscription(f"{lap.topic}.{_GROUP}")
    client = _Confirming(lap)
    client.get_subscription(subscription=name)  # connects

    def handle(message: pubsub_v1.subscriber.message.Message) -> None:
        message.data, message.attributes.get("key"), message.attributes.get("id")
        message.ack()

    flow = pubsub_v1.types.FlowControl(max_messages=4096, max_bytes=_IN_FLIGHT_BYTES)
    lap.start()
    pull = client.subscribe(name, handle, flow_control=flow)
    in_time = client.done.wait(_TIMEOUT_S)
    pull.cancel()
    pull.result()
    client.close()
    if not in_time:
        raise RuntimeError(f"{client.left} of the official client's acks have no answer")


# --- ours --------------------------------------------------------------------------------------------------------


async def _ours_receive(lap: Lap) -> None:
    async with connect(_URL.format(lap.address)) as broker:
        await broker.ping()  # connects
        lap.start()
        await drain(broker, lap, _GROUP)


# --- kombu -------------------------------------------------------------------------------------------------------


def _kombu(topic: str) -> tuple[Connection, Queue]:
    """A connection that pulls as many messages at once as it can hold, and a queue of the topic."""
    options = {"queue_name_prefix": "", "bulk_max_messages": 1000}
    connection = Connection(f"gcpubsub://projects/{PROJECT}", transport_options=options)
    exchange = Exchange(topic, type="direct")
    return connection, Queue(f"{topic}-g", exchange, routing_key="bench")


async def _kombu_send(lap: Lap) -> None:
    """`Producer.publish`, flushed at the end; the body travels as base64 within JSON."""
    connection, queue = _kombu(lap.topic)
    with connection:
        channel = connection.channel()
        queue(channel).declare()
        producer = Producer(channel, queue.exchange, queue.routing_key, auto_declare=False)
        producer.publish(b"warm up", headers={"key": "", "id": ""})
        lap.start()
        for number in range(lap.count):
            headers = {"key": str(number), "id": uuid.uuid4().hex, "type": "bench"}
            producer.publish(
                lap.body, content_type="image/png", content_encoding="binary", headers=headers
            )
        channel.publisher.stop()
        lap.stop()


async def _kombu_receive(lap: Lap) -> None:
    """A `Consumer` with a callback that reads the same, and acks: a request for each message."""
    connection, queue = _kombu(lap.topic)
    left = lap.count + 1

    def handle(data: bytes, message: Any) -> None:
        nonlocal left
        data, message.headers["key"], message.headers["id"]
        message.ack()
        left -= 1

    channel = connection.channel()
    channel.subscriber = pubsub_v1.SubscriberClient(**_unlimited())
    with connection, Consumer(channel, [queue], callbacks=[handle], prefetch_count=1000):
        lap.start()
        while left > 0:
            connection.drain_events(timeout=_TIMEOUT_S)
        lap.stop()


OFFICIAL = Client("google-cloud-pubsub", _official_send, _official_receive)
OURS = Client("hemline-broker", partial(ours_send, _URL, 1000, 1), _ours_receive)
KOMBU = Client("kombu", _kombu_send, _kombu_receive, part=8)
