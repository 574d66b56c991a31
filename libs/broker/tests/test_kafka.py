"""What only Kafka can get wrong: gaps, rebalances, foreign clients."""

from __future__ import annotations

import asyncio
import os
import time
import uuid

import pytest
from confluent_kafka import Consumer, ConsumerGroupType, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from hemline_broker import (
    Denied,
    Message,
    NotFound,
    TooLarge,
    TransactionAborted,
    Unavailable,
    connect,
)
from hemline_broker._kafka._producer import transaction_settings
from hemline_broker._kafka._transactions import Transactor
from hemline_broker.testing import Harness, numbered

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


@pytest.fixture
def harness(kafka_url: str) -> Harness:
    return Harness(kafka_url, patience=90.0)


def servers(url: str) -> str:
    return url.removeprefix("kafka://")


def raw_producer(url: str, **settings: object) -> Producer:
    return Producer({"bootstrap.servers": servers(url), **settings})


async def test_gaps_from_transactions_do_not_stall_the_commit(harness: Harness) -> None:
    """C3: offsets taken by markers and by aborted messages are never delivered, yet the lag goes to zero."""
    async with harness.topic("group") as (broker, topic):
        producer = raw_producer(harness.url, **{"transactional.id": f"tx-{uuid.uuid4().hex}"})
        await asyncio.to_thread(producer.init_transactions, 60)
        for number in range(6):
            producer.begin_transaction()
            producer.produce(topic, f"{'good' if number % 2 else 'bad'}{number}".encode())
            # An abort before it is sent would leave no gap; one while it is being sent can fail for good.
            await asyncio.to_thread(producer.flush, 60)
            end = producer.commit_transaction if number % 2 else producer.abort_transaction
            await asyncio.to_thread(end, 60)
        await broker.send(topic, Message(b"good-last"))
        async with broker.subscribe(topic, group="group") as subscription:
            taken = await harness.take(subscription, 4)
            assert [each.message.data for each in taken] == [
                b"good1",
                b"good3",
                b"good5",
                b"good-last",
            ]
            offsets = [int(each.position.rsplit("/", 1)[1]) for each in taken]
            assert offsets != list(range(offsets[0], offsets[0] + 4)), "there were to be gaps"
            for delivery in reversed(taken):
                delivery.ack()
            await subscription.settled()
            # The brokers write the last transaction's marker when they like: it may be the very end of the log.
            assert await subscription.lag() <= 1


async def test_gaps_from_compaction_do_not_stall_the_commit(harness: Harness) -> None:
    """C3: offsets that the log cleaner removed are never delivered, yet the lag goes to zero."""
    compacted = {
        "cleanup.policy": "compact",
        "segment.ms": "50",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "1",
    }
    topic = f"compacted-{uuid.uuid4().hex[:8]}"
    async with harness.connect() as broker:
        admin = broker.native(AdminClient)
        made = admin.create_topics([NewTopic(topic, 1, 1, config=compacted)])[topic]
        await asyncio.to_thread(made.result, 60)
        await broker.ensure(topic, "group")
        sent = 0
        held: list[bytes] = []
        async with asyncio.timeout(harness.patience):
            # A segment is cleaned once another has begun, which a message begins: so send until some have gone.
            while not sent or len(held) > sent - 10:
                messages = [Message(b"%d" % (sent + n), key=f"k{n % 3}") for n in range(10)]
                await broker.send_many(topic, messages)
                sent += 10
                await asyncio.sleep(0.5)
                held = await asyncio.to_thread(
                    _everything, harness.url, topic, "read_committed", sent
                )
        async with broker.subscribe(topic, group="group") as subscription:
            taken = [await harness.one(subscription)]
            while taken[-1].message.data != b"%d" % (sent - 1):
                taken.append(await harness.one(subscription))
            offsets = [int(each.position.rsplit("/", 1)[1]) for each in taken]
            assert len(offsets) < sent, "there were to be gaps"
            for delivery in reversed(taken):
                delivery.ack()
            await subscription.settled()
            assert await subscription.lag() == 0


@pytest.mark.parametrize("protocol", ["classic", "consumer", "auto"])
async def test_rebalance_waits_for_what_is_in_hand(harness: Harness, protocol: str) -> None:
    """C4: when a second consumer joins, deliveries in hand are finished and committed, not repeated."""
    async with (
        harness.topic("group", partitions=2) as (_, topic),
        connect(f"{harness.url}?group_protocol={protocol}&session_ms=30000") as broker,
    ):
        seen: list[str] = []
        stop = asyncio.Event()

        async def consume() -> None:
            async with broker.subscribe(topic, group="group", in_flight=8) as subscription:
                async for delivery in subscription:
                    await asyncio.sleep(0.01)
                    seen.append(delivery.message.id)
                    delivery.ack()
                    if stop.is_set():
                        break

        messages = [Message(b"x", key=str(number)) for number in range(400)]
        await broker.send_many(topic, messages)
        tasks = [asyncio.create_task(consume())]
        try:
            await harness.until(lambda: len(seen) > 50)
            tasks.append(asyncio.create_task(consume()))
            await harness.until(lambda: len(set(seen)) == 400)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert set(seen) == {message.id for message in messages}
        # At-least-once allows repeats; a clean hand-over of at most 8 in flight makes few. Not so one of a consumer
        # whose heartbeats a busy machine kept back, hence the long session.
        assert len(seen) - 400 <= 16


async def test_a_foreign_sender_without_cloudevents(harness: Harness) -> None:
    """Ids and times of a plain record are filled in; its headers come through."""
    async with harness.topic("group") as (broker, topic):
        producer = raw_producer(harness.url)
        producer.produce(topic, b"keyed", key=b"the-key", headers={"x": b"1"})
        producer.produce(topic, b"bare")
        producer.produce(topic, None, key=b"\xff\xfe")
        await asyncio.to_thread(producer.flush, 30)
        async with broker.subscribe(topic, group="group", dead_letter=None) as subscription:
            keyed, bare, odd = await harness.take(subscription, 3)
            assert (keyed.message.id, keyed.message.headers) == ("the-key", {"x": "1"})
            assert bare.message.id == bare.position == f"{topic}/0/1"
            assert abs(bare.message.time.timestamp() - time.time()) < 600
            assert odd.message.data == b""
            await broker.ensure(f"{topic}.copy")
            # What is no UTF-8 goes out again as the same bytes.
            assert (odd.message.key or "").encode("utf-8", "surrogateescape") == b"\xff\xfe"


async def test_auto_creation_is_never_triggered(harness: Harness) -> None:
    """The test broker makes topics for producers that ask; ours never does."""
    async with harness.connect() as broker:
        with pytest.raises(NotFound):
            await broker.send("never-made", Message(b"x"))
        admin = broker.native(AdminClient)
        assert "never-made" not in admin.list_topics(timeout=30).topics


async def test_wrong_credentials_are_not_silence(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C12: SASL against a listener that does not speak it is an error, not an endless wait."""
    monkeypatch.setenv("HEMLINE_KAFKA_USERNAME", "user")
    monkeypatch.setenv("HEMLINE_KAFKA_PASSWORD", "secret-word")
    with pytest.raises((Denied, Unavailable)) as caught:
        async with connect(f"{harness.url}?sasl=plain&security=sasl_plaintext"):
            pass
    assert "secret-word" not in str(caught.value)


async def test_a_raw_consumer_reads_what_we_send(harness: Harness) -> None:
    """Headers are those of the CloudEvents Kafka binding, the body is raw."""
    async with harness.topic() as (broker, topic):
        message = Message(
            b"\x89PNG",
            key="k",
            type="t",
            source="/s",
            content_type="image/png",
            extensions={"group": "g"},
        )
        await broker.send(topic, message)
        consumer = Consumer(
            {
                "bootstrap.servers": servers(harness.url),
                "group.id": f"raw-{topic}",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([topic])
        record = await asyncio.to_thread(consumer.poll, 60)
        await asyncio.to_thread(consumer.close)
        assert record is not None
        assert record.value() == message.data
        assert record.key() == b"k"
        headers = dict(record.headers())
        assert headers.pop("ce_time").decode().startswith(f"{message.time:%Y-%m-%dT%H:%M:%S}")
        assert headers == {
            "ce_specversion": b"1.0",
            "ce_id": message.id.encode(),
            "ce_type": b"t",
            "ce_source": b"/s",
            "ce_group": b"g",
            "content-type": b"image/png",
        }


def _everything(url: str, topic: str, isolation: str, count: int) -> list[bytes]:
    """The bodies that a foreign consumer sees of a topic, up to so many or until none has come for a while."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers(url), "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest",
            "isolation.level": isolation, "enable.partition.eof": True,
        }
    )  # fmt: skip
    consumer.subscribe([topic])
    seen: list[bytes] = []
    deadline = time.monotonic() + 60
    while len(seen) < count and time.monotonic() < deadline:
        record = consumer.poll(1.0)
        if record is None:
            continue
        if record.error():
            break  # the end of the partition
        seen.append(record.value())
    consumer.close()
    return seen


async def test_an_aborted_transaction_rewinds(harness: Harness) -> None:
    """The brokers refuse one output: the others were written, are hidden, and the inputs come again."""
    small = {"max.message.bytes": "20000"}
    async with (
        harness.topic("group") as (broker, source),
        harness.topic("reader") as (_, target),
    ):
        refusing = f"{target}-small"
        admin = broker.native(AdminClient)
        made = admin.create_topics([NewTopic(refusing, 1, 1, config=small)])[refusing]
        await asyncio.to_thread(made.result, 60)
        await broker.send_many(source, numbered(5))
        async with broker.subscribe(source, group="group") as inputs:
            taken = await harness.take(inputs, 5)
            with pytest.raises(TooLarge):
                async with broker.transaction(inputs) as transaction:
                    transaction.send_many(target, [Message(b"hidden")] * 3)
                    transaction.send(refusing, Message(os.urandom(50_000)))
                    transaction.ack(taken)
            again = await harness.take(inputs, 5)
            assert [(e.message.data, e.attempt) for e in again] == [
                (b"%d" % n, 2) for n in range(5)
            ]
            async with broker.transaction(inputs) as transaction:
                transaction.send(target, Message(b"seen"))
                transaction.ack(again)
            # The offsets were committed by the transaction, not by the consumer afterwards.
            assert await inputs.lag() == 0
        everything = await asyncio.to_thread(
            _everything, harness.url, target, "read_uncommitted", 4
        )
        assert everything == [b"hidden"] * 3 + [b"seen"]
        assert await asyncio.to_thread(_everything, harness.url, target, "read_committed", 1) == [
            b"seen"
        ]


async def test_the_newer_of_one_transactional_id_fences_the_older(harness: Harness) -> None:
    """A zombie cannot commit once its successor has begun, and loses nothing by it."""
    url = f"{harness.url}?transactional_id=worker-{uuid.uuid4().hex}"
    async with (
        harness.topic("group") as (_, source),
        harness.topic("reader") as (_, target),
        connect(url) as zombie,
        connect(url) as successor,
    ):
        await zombie.send_many(source, numbered(2))
        async with zombie.subscribe(source, group="group", in_flight=1) as inputs:
            first = await harness.one(inputs)
            async with zombie.transaction(inputs) as transaction:
                transaction.send(target, Message(b"by the zombie"))
                transaction.ack(first)
            transactor = next(iter(zombie._driver._transactors))
            second = await harness.one(inputs)
            # The successor begins under the same name, as it does when it has taken over the group.
            successor._driver._transactors[transactor] = Transactor(
                transaction_settings(
                    successor._driver._settings, successor._driver.max_message_bytes
                ),
                f"{successor._driver._settings.transactional_id}.{transactor}",
            )
            await successor._driver._transactors[transactor].transact(
                {target: [Message(b"by the successor")]}, None, (), 30
            )
            with pytest.raises(TransactionAborted):
                async with zombie.transaction(inputs) as transaction:
                    transaction.send(target, Message(b"too late"))
                    transaction.ack(second)
            assert (await harness.one(inputs)).message.id == second.message.id
        async with successor.subscribe(target, group="reader") as outputs:
            assert [d.message.data for d in await harness.take(outputs, 2)] == [
                b"by the zombie",
                b"by the successor",
            ]
            await harness.nothing(outputs)


async def test_a_gap_cannot_be_transacted_over(harness: Harness) -> None:
    """One position per partition: what an earlier delivery still holds back cannot be committed."""
    async with harness.topic("group") as (broker, topic):
        await broker.send_many(topic, numbered(3))
        async with broker.subscribe(topic, group="group") as inputs:
            first, second, third = await harness.take(inputs, 3)
            with pytest.raises(TransactionAborted, match="neither acknowledged nor part"):
                async with broker.transaction(inputs) as transaction:
                    transaction.ack([second, third])
            first.ack()
            again = await harness.take(inputs, 2)
            async with broker.transaction(inputs) as transaction:
                transaction.ack(again)
            assert await inputs.lag() == 0


async def test_auto_finds_the_modern_protocol(harness: Harness) -> None:
    """`group_protocol=auto` asks the broker, which has KIP-848: the group is of the type `consumer`."""
    async with (
        harness.topic("group") as (_, topic),
        connect(f"{harness.url}?group_protocol=auto") as broker,
        broker.subscribe(topic, group="group") as subscription,
    ):
        await broker.send(topic, Message(b"x"))
        (await harness.one(subscription)).ack()
        await subscription.settled()
        listed = await asyncio.to_thread(
            broker.native(AdminClient).list_consumer_groups().result, 30
        )
        (mine,) = [group for group in listed.valid if group.group_id == f"{topic}.group"]
        assert mine.type == ConsumerGroupType.CONSUMER
