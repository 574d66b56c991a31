# ruff: noqa: S101 - a conformance suite asserts
"""Behaviours of sending."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from hemline_broker import (
    Capability,
    Closed,
    InvalidMessage,
    InvalidOption,
    Message,
    NotFound,
    SendFailed,
    TooLarge,
)
from hemline_broker.testing._behaviour import named, needs
from hemline_broker.testing._harness import Harness, bodies, numbered

_TRICKY = "söme wéird テキスト 🙂 \t,;=\"'"


class Sending:
    """Mix into a test class that has a fixture `harness`."""

    @named("go-cloud TestSendReceive", "Dapr init", "Dapr publish", "Dapr verify read")
    async def test_send_and_receive(self, harness: Harness) -> None:
        """Three messages arrive with equal bodies."""
        async with harness.topic("group") as (broker, topic):
            for message in numbered(3):
                await broker.send(topic, message)
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 3)
                assert sorted(bodies(taken)) == [b"0", b"1", b"2"]

    @named("go-cloud TestMetadata", "C8")
    async def test_every_field_survives(self, harness: Harness) -> None:
        """Odd Unicode in key, attributes and headers comes back as it went."""
        message = Message(
            b"\x00\xff\xfe body",
            key=f"key {_TRICKY}",
            id=f"id-{_TRICKY}",
            type="dev.hemline.test",
            source="/a/source",
            time=datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC),
            content_type="image/png",
            extensions={"group": _TRICKY, "traceparent": "00-1-2-3"},
            headers={"x-plain": "1", "X-Mixed.Case_": _TRICKY},
        )
        async with harness.topic("group") as (broker, topic):
            for send in (broker.send(topic, message), broker.send_many(topic, [message])):
                await send
            async with broker.subscribe(topic, group="group") as subscription:
                for delivery in await harness.take(subscription, 2):
                    assert delivery.message == message
                    assert delivery.topic == topic
                    assert delivery.attempt == 1

    @named("go-cloud TestNonUTF8MessageBody")
    async def test_bodies_of_any_bytes(self, harness: Harness) -> None:
        """A body is any bytes, none included."""
        wanted = [b"", b"\xff\xfe\xfd", bytes(range(256)), b"\n"]
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, [Message(data) for data in wanted])
            async with broker.subscribe(topic, group="group") as subscription:
                assert sorted(bodies(await harness.take(subscription, 4))) == sorted(wanted)

    @named("go-cloud TestSendReceiveJSON")
    async def test_json(self, harness: Harness) -> None:
        """JSON arrives byte for byte, with its content type; nothing parses or wraps it."""
        text = json.dumps({"text": "söme 🙂", "number": 1.5, "list": [None, True]}, indent=1)
        message = Message(text.encode(), content_type="application/json; charset=utf-8")
        async with harness.topic("group") as (broker, topic):
            await broker.send(topic, message)
            async with broker.subscribe(topic, group="group") as subscription:
                arrived = (await harness.one(subscription)).message
            assert arrived.data == message.data
            assert arrived.content_type == message.content_type

    async def test_receipts_name_the_messages(self, harness: Harness) -> None:
        """Each receipt carries its message's id and a position of its own, which the delivery repeats."""
        messages = numbered(5)
        async with harness.topic("group") as (broker, topic):
            receipts = await broker.send_many(topic, messages)
            assert [receipt.id for receipt in receipts] == [message.id for message in messages]
            assert len({receipt.position for receipt in receipts}) == 5
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 5)
            assert {d.message.id: d.position for d in taken} == {
                receipt.id: receipt.position for receipt in receipts
            }

    @named("go-cloud TestBatching", "Watermill TestPublishSubscribe")
    async def test_batches_of_sends(self, harness: Harness) -> None:
        """Many sends of different sizes, all arrive once."""
        async with harness.topic("group") as (broker, topic):
            for size in (1, 2, 300, 697):
                await broker.send_many(topic, numbered(size))
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 1000)
                assert len({delivery.message.id for delivery in taken}) == 1000

    async def test_sends_side_by_side(self, harness: Harness) -> None:
        """Many tasks send at once; the receipts are theirs."""
        async with harness.topic() as (broker, topic):
            messages = numbered(200)
            receipts = await asyncio.gather(*(broker.send(topic, each) for each in messages))
            assert [receipt.id for receipt in receipts] == [each.id for each in messages]

    @named("Watermill TestPublishSubscribeInOrder", "Dapr GCP fifo order")
    @needs(Capability.ORDERED)
    async def test_order_of_one_sender(self, harness: Harness) -> None:
        """Messages of one key keep their order."""
        async with harness.topic("group", partitions=4, ordered=True) as (
            broker,
            topic,
        ):
            messages = [Message(str(n).encode(), key=f"key{n % 16}") for n in range(1000)]
            for start in range(0, 1000, 50):
                await broker.send_many(topic, messages[start : start + 50])
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 1000)
            for key in {message.key for message in messages}:
                mine = [int(d.message.data) for d in taken if d.message.key == key]
                assert mine == sorted(mine)

    @named(
        "go-cloud TestNonExistentTopicSucceedsOnOpenButFailsOnSend",
        "Dapr GCP disableEntityManagement",
        "C12",
    )
    async def test_unknown_topic(self, harness: Harness) -> None:
        """Opening works, sending says NotFound, nothing is made on the side."""
        async with harness.connect() as broker:
            with pytest.raises(NotFound, match="no-such-topic"):
                await broker.send("no-such-topic", Message(b"x"))
            with pytest.raises(NotFound):
                await broker.send_many("no-such-topic", numbered(2))
            assert "no-such-topic" not in {info.name for info in await broker.topics()}

    @named("Dapr GCP existing topic")
    async def test_ensure_twice(self, harness: Harness) -> None:
        """`ensure` of what exists changes nothing: no message is lost or repeated by it."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(2))
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 2)
                (first,) = [each for each in taken if each.message.data == b"0"]
                first.ack()
                await subscription.settled()
            await broker.ensure(topic, "group", start="new")
            await broker.ensure(topic, "group", start="oldest")
            async with broker.subscribe(topic, group="group") as subscription:
                assert (await harness.one(subscription)).message.data == b"1"
                await harness.nothing(subscription)

    @named("go-cloud TestErrorOnSendToClosedTopic")
    async def test_closed_broker(self, harness: Harness) -> None:
        """After the close every call says Closed; closing again does nothing."""
        async with harness.topic() as (broker, topic):
            await broker.close()
            await broker.close()
            with pytest.raises(Closed):
                await broker.send(topic, Message(b"x"))
            with pytest.raises(Closed):
                await broker.send_many(topic, [Message(b"x")])
            with pytest.raises(Closed):
                broker.subscribe(topic, group="group")

    @named("Watermill TestPublisherClose")
    async def test_nothing_is_lost_by_closing(self, harness: Harness) -> None:
        """What was confirmed before the close is there after it."""
        async with harness.topic("group") as (broker, topic):
            async with harness.connect() as sender:
                await asyncio.gather(
                    *(sender.send_many(topic, numbered(100, 100 * part)) for part in range(20))
                )
            async with broker.subscribe(topic, group="group", in_flight=4096) as subscription:
                assert len(set(bodies(await harness.take(subscription, 2000)))) == 2000

    @named("go-cloud TestCancelSendReceive", "C9")
    async def test_cancelled_send(self, harness: Harness) -> None:
        """A cancelled send leaves the broker usable."""
        async with harness.topic("group") as (broker, topic):
            task = asyncio.create_task(broker.send_many(topic, numbered(500)))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await broker.send(topic, Message(b"after"))
            async with broker.subscribe(topic, group="group") as subscription:
                async with asyncio.timeout(harness.patience):
                    async for delivery in subscription:
                        if delivery.message.data == b"after":
                            break

    @named("C7")
    async def test_limit_of_size(self, harness: Harness) -> None:
        """A message of exactly the limit makes the round trip, one byte more is refused before any I/O."""
        limit = 2_000_000
        async with harness.topic("group", max_message_bytes=limit) as (broker, topic):
            empty = Message(b"", key="key", headers={"h": "v" * 100}, extensions={"e": "x" * 50})
            room = limit - 1024 - empty.encoded_size()
            largest = Message(
                bytes(room),
                key="key",
                id=empty.id,
                headers=empty.headers,
                extensions=empty.extensions,
            )
            await broker.send(topic, largest)
            above = Message(
                bytes(room + 1),
                key="key",
                id=empty.id,
                headers=empty.headers,
                extensions=empty.extensions,
            )
            with pytest.raises(TooLarge, match="2,000,000"):
                await broker.send(topic, above)
            # Before any I/O: even a topic that does not exist is not looked for.
            with pytest.raises(TooLarge):
                await broker.send("no-such-topic", above)
            async with broker.subscribe(topic, group="group") as subscription:
                assert (await harness.one(subscription)).message.data == largest.data
                assert await subscription.lag() == 1

    @named("C7")
    async def test_fifteen_megabytes(self, harness: Harness) -> None:
        """The default limit, 15,728,640 bytes in all, holds on every backend."""
        async with harness.topic("group") as (broker, topic):
            empty = Message(b"", key="large")
            body = bytes(range(256)) * 61_440
            message = Message(
                body[: 15_728_640 - 1024 - empty.encoded_size()], key="large", id=empty.id
            )
            assert message.encoded_size() + 1024 == 15_728_640
            await broker.send(topic, message)
            async with broker.subscribe(topic, group="group") as subscription:
                delivery = await harness.one(subscription)
                assert delivery.message.data == message.data
                delivery.ack()

    @named("Dapr bulkPublish", "C15")
    async def test_partial_failure(self, harness: Harness) -> None:
        """Errors per item, the others are durable."""
        async with harness.topic("group", max_message_bytes=100_000) as (broker, topic):
            messages = numbered(5)
            messages[1] = Message(bytes(200_000))
            messages[3] = Message(b"x", headers={"ce_id": "not allowed"})
            with pytest.raises(SendFailed) as caught:
                await broker.send_many(topic, messages)
            assert {place: type(error) for place, error in caught.value.errors.items()} == {
                1: TooLarge,
                3: InvalidMessage,
            }
            assert not caught.value.retryable
            async with broker.subscribe(topic, group="group") as subscription:
                assert sorted(bodies(await harness.take(subscription, 3))) == [b"0", b"2", b"4"]
                await harness.nothing(subscription)

    @named("go-cloud TestMetadata", "C12")
    async def test_illegal_arguments(self, harness: Harness) -> None:
        """What cannot work is refused with a typed error, whether it is sent alone or with others."""
        async with harness.topic("group") as (broker, topic):
            illegal = [
                Message(b"", id=""),
                Message(b"", time=datetime(2024, 1, 1)),
                Message(b"", extensions={"Upper": "x"}),
                Message(b"", headers={"content-type": "x"}),
                Message("text"),  # type: ignore[arg-type]
                Message(b"", key=5),  # type: ignore[arg-type]
                Message(b"", id=b"x"),  # type: ignore[arg-type]
                Message(b"", headers={"h": "\ud800"}),
                Message(b"", key="\ud800"),
            ]
            for message in illegal:
                with pytest.raises(InvalidMessage):
                    await broker.send(topic, message)
            with pytest.raises(SendFailed) as caught:
                await broker.send_many(topic, [*illegal, Message(b"legal")])
            errors = caught.value.errors
            assert {place: type(error) for place, error in errors.items()} == dict.fromkeys(
                range(len(illegal)), InvalidMessage
            )
            async with broker.subscribe(topic, group="group") as subscription:
                assert (await harness.one(subscription)).message.data == b"legal"
            with pytest.raises(InvalidOption):
                await broker.ensure("no spaces allowed")
            with pytest.raises(InvalidOption, match="no dot"):
                await broker.ensure(topic, "no.dots")
            with pytest.raises(InvalidOption, match="no dot"):
                broker.subscribe(topic, group="no.dots")
            with pytest.raises(InvalidOption):
                broker.subscribe(topic, group="group", start="yesterday")  # type: ignore[arg-type]
            with pytest.raises(InvalidOption):
                broker.subscribe(topic, group="group", in_flight=0)

    async def test_whole_events_are_refused(self, harness: Harness) -> None:
        """A content type that readers take for a whole CloudEvent is refused: each would read another message."""
        event = {"specversion": "1.0", "id": "inner", "source": "/s", "type": "t", "data": {"a": 1}}
        whole = Message(
            json.dumps(event).encode(),
            content_type="application/cloudevents+json; charset=utf-8",
            extensions={"trace": "1"},
        )
        async with harness.topic("group") as (broker, topic):
            with pytest.raises(InvalidMessage, match="structured mode"):
                await broker.send(topic, whole)
            with pytest.raises(SendFailed) as caught:
                await broker.send_many(topic, [whole, Message(b"legal")])
            assert list(caught.value.errors) == [0]
            async with broker.subscribe(topic, group="group") as subscription:
                assert (await harness.one(subscription)).message.data == b"legal"

    async def test_unknown_option(self, harness: Harness) -> None:
        """An option of a URL that nobody knows is an error that names those that are known."""
        with pytest.raises(InvalidOption, match="colour"):
            async with harness.with_options("colour=red").connect():
                pass

    @named("go-cloud TestAs")
    async def test_native(self, harness: Harness) -> None:
        """Asking for something foreign is a TypeError."""
        async with harness.topic("group") as (broker, topic):
            with pytest.raises(TypeError):
                broker.native(Sending)
            await broker.send(topic, Message(b"x"))
            async with broker.subscribe(topic, group="group") as subscription:
                with pytest.raises(TypeError):
                    (await harness.one(subscription)).native(Sending)

    @named("Dapr ping")
    async def test_ping(self, harness: Harness) -> None:
        """A broker that answers, answers."""
        async with harness.connect() as broker:
            await broker.ping()
