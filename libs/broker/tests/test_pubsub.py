"""What is Pub/Sub's own, on the emulator: connections that are cut, leases that end, its own clients beside ours."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import pytest
from google.pubsub_v1 import types
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from hemline_broker import AckLost, Broker, Delivery, Message, NotFound, Unavailable
from hemline_broker.testing import Harness, bodies, numbered

pytestmark = pytest.mark.pubsub


@pytest.fixture
def harness(pubsub_url: str) -> Harness:
    return Harness(pubsub_url)


class Proxy:
    """Stands between a client and the emulator, and can be cut.

    Attributes:
        port: where it listens.
        open: whether connections are taken.
        lose_answers: of so many connections, what the server says next is never passed on; they are cut instead.
        refused: connections not taken so far.
    """

    def __init__(self, url: str) -> None:
        found = re.search(r"endpoint=([^:&]+):(\d+)", url)
        assert found, url
        self._url = url
        self._target = found[1], int(found[2])
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.open = True
        self.lose_answers = 0
        self.refused = 0

    @property
    def url(self) -> str:
        """The broker's URL by way of this."""
        return re.sub(r"endpoint=[^&]+", f"endpoint=127.0.0.1:{self.port}", self._url)

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open = False
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> int:
        """End every connection without a word; how many there were."""
        cut = list(self._writers)
        for writer in cut:
            writer.transport.abort()
        return len(cut) // 2

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if not self.open:
            self.refused += 1
            writer.transport.abort()
            return
        server, to_server = await asyncio.open_connection(*self._target)
        both = {writer, to_server}
        self._writers |= both
        try:
            await asyncio.wait(
                {
                    asyncio.create_task(self._pass_on(reader, to_server, answers=False)),
                    asyncio.create_task(self._pass_on(server, writer, answers=True)),
                },
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            self._writers -= both
            for each in both:
                each.transport.abort()

    async def _pass_on(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        try:
            while data := await source.read(1 << 16):
                if answers and self.lose_answers:
                    self.lose_answers -= 1
                    return
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            return


@pytest.fixture
async def proxy(pubsub_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(pubsub_url) as proxy:
        yield proxy


def names(topic: str) -> tuple[str, str]:
    """Full names of a topic and of its group's subscription."""
    project = "projects/hemline-test"
    return f"{project}/topics/{topic}", f"{project}/subscriptions/{topic}.group"


def publisher(broker: Broker) -> PublisherAsyncClient:
    """Google's client on our channel."""
    channel = broker.native(grpc.aio.Channel)
    return PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))


def subscriber(broker: Broker) -> SubscriberAsyncClient:
    """The same for reading."""
    channel = broker.native(grpc.aio.Channel)
    return SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))


# --- the connection ----------------------------------------------------------------------------------------------


async def test_a_stream_that_is_cut_again_and_again_loses_nothing(
    harness: Harness, proxy: Proxy
) -> None:
    """Every message is handled; again only what was in hand or under way at a cut."""
    in_flight, cuts = 50, range(100, 600, 100)
    async with harness.topic("group") as (broker, topic):
        messages = numbered(600)
        await broker.send_many(topic, messages)
        seen: Counter[str] = Counter()

        async def handle(delivery: Delivery) -> None:
            await asyncio.sleep(0.005)
            seen[delivery.message.id] += 1

        async with (
            Harness(f"{proxy.url}&lease=3").connect() as reader,
            reader.subscribe(topic, group="group", in_flight=in_flight) as subscription,
        ):
            runner = asyncio.create_task(subscription.run(handle))
            for reached in cuts:
                await harness.until(lambda reached=reached: len(seen) >= reached)
                # It may be about to come back from the last one.
                await harness.until(lambda: proxy.cut() > 0)
            await harness.until_done(subscription, lambda: len(seen) == len(messages))
            await subscription.close()
            await runner
    assert set(seen) == {message.id for message in messages}
    assert seen.total() - len(seen) <= in_flight * len(cuts)


async def test_a_send_whose_answer_is_lost_is_sent_again_under_the_same_id(
    harness: Harness, proxy: Proxy
) -> None:
    async with (
        harness.topic("group") as (direct, topic),
        Harness(proxy.url).connect() as broker,
    ):
        await broker.send(topic, Message(b"first"))
        messages = numbered(40)
        for start in range(0, 40, 10):
            proxy.lose_answers = 1
            receipts = await broker.send_many(topic, messages[start : start + 10])
            assert [each.id for each in receipts] == [
                each.id for each in messages[start : start + 10]
            ]
            assert proxy.lose_answers == 0, "no answer was lost: this has shown nothing"
        await broker.send(topic, Message(b"last"))
        seen: Counter[str] = Counter()
        wanted = {message.id for message in messages}
        async with direct.subscribe(topic, group="group") as subscription:
            last = False
            while not (last and wanted <= set(seen)):
                (delivery,) = await harness.take(subscription, 1)
                seen[delivery.message.id] += 1
                last = last or delivery.message.data == b"last"
                delivery.ack()
        # The first and the last beside them; copies have the ids of their originals.
        assert len(seen) == len(messages) + 2


async def test_a_service_that_is_gone_for_a_while(harness: Harness, proxy: Proxy) -> None:
    """Consumers wait for it, a patient send succeeds afterwards, an impatient one says that it is unavailable."""
    async with (
        harness.topic("group") as (_, topic),
        Harness(proxy.url).connect() as broker,
        broker.subscribe(topic, group="group") as subscription,
    ):
        await broker.send(topic, Message(b"before"))
        (await harness.one(subscription)).ack()
        await subscription.settled()
        proxy.open = False
        proxy.cut()
        with pytest.raises(Unavailable, match="not confirmed within"):
            await broker.send(topic, Message(b"impatient"), timeout=0.5)
        patient = asyncio.create_task(
            broker.send(topic, Message(b"patient"), timeout=harness.patience)
        )
        await harness.until(lambda: proxy.refused >= 2)
        assert not patient.done()
        proxy.open = True
        await patient
        bodies_seen = set()
        while b"patient" not in bodies_seen:
            delivery = await harness.one(subscription)
            delivery.ack()
            bodies_seen.add(delivery.message.data)
        await subscription.settled()


async def test_nobody_there() -> None:
    """C12: an address where nobody listens is Unavailable, in bounded time."""
    with pytest.raises(Unavailable, match="cannot reach Pub/Sub"):
        async with Harness("pubsub://hemline-test?endpoint=127.0.0.1:1").connect():
            pass


# --- leases ------------------------------------------------------------------------------------------------------


async def test_a_handler_that_never_extends_loses_its_lease_after_max_lease(
    harness: Harness,
) -> None:
    """Its ack is reported, the message comes again; one that asked for more time keeps it."""
    limits = harness.with_options("lease=6&max_lease=8")
    async with harness.topic("group") as (broker, topic), limits.connect() as reader:
        await broker.send_many(topic, numbered(2))
        async with reader.subscribe(topic, group="group") as subscription:
            forgetful, careful = await harness.take(subscription, 2)
            careful.extend(60.0)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await harness.until(lambda: forgetful.lease.lost)
            # It was renewed beyond the lease, up to the limit.
            assert loop.time() - began > 6.0
            forgetful.ack()
            with pytest.raises(AckLost) as caught:
                await subscription.settled()
            assert caught.value.ids == (forgetful.message.id,)
            again = await harness.one(subscription)
            assert again.message.id == forgetful.message.id
            assert not careful.lease.lost
            again.ack()
            careful.ack()
            await subscription.settled()
            await harness.nothing(subscription)


# Takes a message, says so, and acknowledges it when its input ends.
_STOPPED = """
import asyncio, sys
from hemline_broker import AckLost, connect

async def main(url, topic):
    async with connect(url) as broker, broker.subscribe(topic, group="group") as subscription:
        async for delivery in subscription:
            print("taken", flush=True)
            await asyncio.to_thread(sys.stdin.read)
            delivery.ack()
            try:
                await subscription.settled()
                print("settled", flush=True)
            except AckLost as error:
                print("lost", *error.ids, flush=True)
            return

asyncio.run(main(*sys.argv[1:]))
"""


async def test_an_ack_after_the_process_was_stopped_is_reported(
    harness: Harness, proxy: Proxy
) -> None:
    """A paused machine: another consumer has the message by then, which Pub/Sub itself would not say."""
    async with harness.topic("group") as (broker, topic):
        receipt = await broker.send(topic, Message(b"x"))
        sleeper = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _STOPPED, f"{proxy.url}&lease=2", topic),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert sleeper.stdin is not None and sleeper.stdout is not None
        try:
            async with asyncio.timeout(harness.patience):
                assert await sleeper.stdout.readline() == b"taken\n"
            sleeper.send_signal(signal.SIGSTOP)
            sleeper.stdin.close()
            proxy.cut()  # or the message might go to the sleeper again
            async with broker.subscribe(topic, group="group") as subscription:
                other = await harness.one(subscription)
                sleeper.send_signal(signal.SIGCONT)
                async with asyncio.timeout(harness.patience):
                    assert await sleeper.stdout.readline() == b"lost %s\n" % receipt.id.encode()
                    assert await sleeper.wait() == 0
                other.ack()
                await subscription.settled()
        finally:
            if sleeper.returncode is None:
                sleeper.kill()
                await sleeper.wait()


# --- what others do ----------------------------------------------------------------------------------------------


async def test_a_foreign_sender_without_cloudevents(harness: Harness) -> None:
    """Id, time and headers of a plain message; our own channel serves Google's client."""
    async with harness.topic("group") as (broker, topic):
        name, _ = names(topic)
        sent = await publisher(broker).publish(
            topic=name, messages=[{"data": b"\x00\xff", "attributes": {"x": "1"}}]
        )
        async with broker.subscribe(topic, group="group") as subscription:
            delivery = await harness.one(subscription)
            assert delivery.message.data == b"\x00\xff"
            assert delivery.message.headers == {"x": "1"}
            assert delivery.message.id == delivery.position == sent.message_ids[0]
            received = delivery.native(types.ReceivedMessage.pb())
            assert received.message.message_id == sent.message_ids[0]


async def test_a_foreign_reader_sees_the_cloudevents_binding(harness: Harness) -> None:
    """The body is raw, attributes are those of the Pub/Sub binding."""
    async with harness.topic("group") as (broker, topic):
        message = Message(
            b"\x89PNG",
            key="k",
            type="t",
            source="/s",
            content_type="image/png",
            headers={"shop": "7"},
        )
        await broker.send(topic, message)
        _, subscription = names(topic)
        pulled = await subscriber(broker).pull(
            subscription=subscription, max_messages=1, timeout=harness.patience
        )
        read = pulled.received_messages[0].message
        assert read.data == message.data
        attributes = dict(read.attributes)
        assert attributes.pop("ce-time").startswith(f"{message.time:%Y-%m-%dT%H:%M:%S}")
        assert attributes == {
            "ce-specversion": "1.0", "ce-id": message.id, "ce-type": "t", "ce-source": "/s",
            "ce-partitionkey": "k", "content-type": "image/png", "shop": "7",
        }  # fmt: skip


async def test_a_topic_that_is_made_anew_under_a_group(harness: Harness) -> None:
    """The old subscription reads nothing any more: that is said, and how to mend it, which does."""
    async with harness.topic("group") as (broker, topic):
        await publisher(broker).delete_topic(topic=names(topic)[0])
        await broker.ensure(topic)
        with pytest.raises(NotFound, match="reads a topic that was deleted"):
            await broker.ensure(topic, "group")
        await broker.forget(topic, "group")
        await broker.ensure(topic, "group")
        await broker.send(topic, Message(b"x"))
        async with broker.subscribe(topic, group="group") as subscription:
            assert (await harness.one(subscription)).message.data == b"x"


async def test_topics_by_name(harness: Harness) -> None:
    """Those that were asked for and exist, with their groups."""
    async with harness.topic("one", "two") as (broker, topic):
        (info,) = await broker.topics([topic, "no-such-topic"])
        assert (info.name, dict(info.groups)) == (topic, {"one": None, "two": None})
        assert info in await broker.topics()


async def test_a_topic_or_group_that_is_deleted_meanwhile(harness: Harness) -> None:
    """Whoever reads or sends is told, and how to mend it."""
    async with AsyncExitStack() as stack:
        broker, topic = await stack.enter_async_context(harness.topic("group"))
        subscription = broker.subscribe(topic, group="group")
        await stack.enter_async_context(subscription)
        await broker.send(topic, Message(b"x"))
        assert bodies([await harness.one(subscription)]) == [b"x"]
        await broker.forget(topic, "group")
        with pytest.raises(NotFound, match=r"cannot consume .*`ensure` makes topics and groups"):
            await harness.one(subscription)
        await publisher(broker).delete_topic(topic=names(topic)[0])
        with pytest.raises(NotFound, match=r"cannot send .*`ensure` makes topics and groups"):
            await broker.send(topic, Message(b"y"))
        await broker.ensure(topic, "group")
        await broker.send(topic, Message(b"z"))
