"""What only Kafka can get wrong: gaps, rebalances, slow handlers, foreign clients."""

from __future__ import annotations

import asyncio
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

from hemline_broker import Denied, Message, NotFound, Unavailable, connect
from hemline_broker.testing import Harness, numbered

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
_KAFKA_SH = Path(__file__).parents[3] / "tests" / "servers" / "kafka" / "kafka.sh"


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


async def test_handler_slower_than_the_poll_interval_keeps_its_partition(harness: Harness) -> None:
    """C5: the thread polls on while a handler sleeps longer than max.poll.interval.ms."""
    url = f"{harness.url}?group_protocol=classic&session_ms=2000&max_poll_ms=2000"
    async with harness.topic("group") as (_, topic), connect(url) as broker:
        await broker.send_many(topic, numbered(3))
        async with broker.subscribe(topic, group="group", in_flight=1) as subscription:
            delivery = await harness.one(subscription)
            await asyncio.sleep(5)
            assert not delivery.lease.lost
            delivery.ack()
            await subscription.settled()
            assert (await harness.one(subscription)).message.data == b"1"


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
async def test_rebalance_waits_for_what_is_in_hand(harness: Harness, protocol: str) -> None:
    """C4: when a second consumer joins, deliveries in hand are finished and committed, not repeated."""
    async with (
        harness.topic("group", partitions=2) as (_, topic),
        connect(f"{harness.url}?group_protocol={protocol}") as broker,
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
        # At-least-once allows repeats; a clean hand-over of at most 8 in flight makes few.
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


async def test_nobody_there() -> None:
    """C12: an address where nobody listens is Unavailable, in bounded time."""
    with pytest.raises(Unavailable):
        async with connect("kafka://127.0.0.1:1"):
            pass


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


@pytest.mark.slow
async def test_restart_of_the_broker(kafka_port: int) -> None:
    """The suite's restart behaviour with a broker that really goes away."""
    from hemline_broker.testing import Crashing

    async def restart() -> None:
        await asyncio.to_thread(
            subprocess.run, [_KAFKA_SH, "restart", "--kill", "--port", str(kafka_port)], check=True
        )

    await Crashing().test_restart(
        Harness(f"kafka://127.0.0.1:{kafka_port}", patience=120.0, restart=restart)
    )
