"""Large bodies beside a real Kafka whose topics have the ordinary limit of 1 MB, and in a real S3."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from hemline_broker import (
    Broker,
    Message,
    Retry,
    TooLarge,
    TransactionAborted,
    Unavailable,
    connect,
)
from hemline_broker._claimstore import ClaimStore, Reference
from hemline_broker.claims import expired, sweep
from hemline_broker.testing import Harness, bodies

_ORDINARY = {"max.message.bytes": "1048588"}
_LARGEST = 15_728_640 - 1024 - 200  # bytes of a body, with room for its attributes

Make = Callable[..., Awaitable[str]]


def _bodies(place: Path) -> list[Path]:
    return [path for path in place.rglob("*") if path.is_file()]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "claims"


@pytest.fixture
def harness(kafka_url: str, place: Path) -> Harness:
    return Harness(f"{kafka_url}?claim_check={place.as_uri()}", patience=90.0)


@pytest.fixture
async def broker(harness: Harness) -> AsyncIterator[Broker]:
    async with harness.connect() as broker:
        yield broker


@pytest.fixture
def make(broker: Broker) -> Make:
    """Makes a topic with the ordinary limit, or another, and a group that reads it."""

    async def made(settings: dict[str, str] = _ORDINARY, group: str = "group") -> str:
        name = f"t{uuid.uuid4().hex[:12]}"
        admin = broker.native(AdminClient)
        future = admin.create_topics([NewTopic(name, 1, 1, config=settings)])[name]
        await asyncio.to_thread(future.result, 60)
        await broker.ensure(name, group)
        return name

    return made


@pytest.mark.kafka
async def test_fifteen_megabytes_on_an_ordinary_topic(
    harness: Harness, broker: Broker, make: Make, place: Path
) -> None:
    """The topic's own limit decides, unasked: large and small messages arrive whole, in order, from small records."""
    topic = await make()
    sizes = (_LARGEST, 10, 1_046_000, 1_100_000, _LARGEST, 0)
    messages = [Message(os.urandom(size), key="one", headers={"h": "v"}) for size in sizes]
    await broker.send(topic, messages[0])
    await broker.send_many(topic, messages[1:])
    assert sorted(path.stat().st_size for path in _bodies(place)) == [1_100_000, _LARGEST, _LARGEST]
    async with broker.subscribe(topic, group="group") as subscription:
        taken = await harness.take(subscription, len(messages))
        assert [each.message for each in taken] == messages
        for each in taken:
            each.ack()
        await subscription.settled()
    record = await asyncio.to_thread(_first_record, harness, topic)
    assert record.value() in (b"", None)
    headers = dict(record.headers())
    assert headers["ce_dataref"].decode().startswith(place.as_uri())
    assert headers["ce_datarefsize"] == str(_LARGEST).encode()


def _first_record(harness: Harness, topic: str):
    servers = harness.url.removeprefix("kafka://").partition("?")[0]
    consumer = Consumer(
        {
            "bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest",
        }
    )  # fmt: skip
    consumer.subscribe([topic])
    try:
        record = consumer.poll(60)
        assert record is not None
        assert record.error() is None
        return record
    finally:
        consumer.close()


@pytest.mark.kafka
async def test_a_lost_body_is_a_dead_letter_and_a_large_letter_fits(
    harness: Harness, broker: Broker, make: Make, place: Path
) -> None:
    """Both on ordinary topics: the lost one says why, the rejected one is whole, and the rest goes on."""
    topic, dead = await make(), await make(group="reader")
    lost, rejected = Message(os.urandom(3_000_000), key="lost"), Message(os.urandom(2_000_000))
    await broker.send(topic, lost)
    (body,) = _bodies(place)
    await broker.send(topic, rejected)
    await broker.send(topic, Message(b"good"))
    body.unlink()
    async with broker.subscribe(
        topic, group="group", dead_letter=dead, retry=Retry(attempts=1)
    ) as subscription:
        refused, good = await harness.take(subscription, 2)
        assert (refused.message, good.message.data) == (rejected, b"good")
        refused.reject("not today")
        good.ack()
        async with broker.subscribe(dead, group="reader") as letters:
            found = {each.message.id: each.message for each in await harness.take(letters, 2)}
        await subscription.settled()
        await harness.until_done(subscription, lambda: True)
    reason = found[lost.id].extensions["deadreason"]
    assert reason.startswith("BodyGone: ")
    assert body.name in reason
    assert "deleted" in reason
    assert found[lost.id].key == "lost"
    assert found[rejected.id].data == rejected.data
    assert found[rejected.id].extensions["deadreason"] == "not today"


async def test_a_transaction_whose_bodies_cannot_be_stored_is_aborted(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Surely nothing took effect, and what was stored before that is gone again."""
    put = ClaimStore.put

    async def second_fails(store: ClaimStore, topic: str, data: bytes) -> Reference:
        if topic == "second":
            raise Unavailable("the store is away")
        return await put(store, topic, data)

    monkeypatch.setattr(ClaimStore, "put", second_fails)
    async with connect(f"memory:?claim_check={place.as_uri()}&claim_above=100") as broker:
        for topic in ("first", "second"):
            await broker.ensure(topic, "group")
        with pytest.raises(TransactionAborted, match="the store is away"):
            async with broker.transaction() as transaction:
                transaction.send("first", Message(bytes(1000)))
                transaction.send("second", Message(bytes(1000)))
        assert _bodies(place) == []


@pytest.mark.kafka
async def test_claims_in_transactions(
    harness: Harness, broker: Broker, make: Make, place: Path
) -> None:
    """Aborted, nothing of it is read and no body stays; committed, the same inputs lead to whole outputs, once."""
    source, target, refusing = await make(), await make(), await make({"max.message.bytes": "150"})
    inputs = [Message(os.urandom(1_500_000)) for _ in range(3)]
    await broker.send_many(source, inputs)
    before = set(_bodies(place))
    async with broker.subscribe(source, group="group") as subscription:
        taken = await harness.take(subscription, 3)
        with pytest.raises(TooLarge):
            async with broker.transaction(subscription) as transaction:
                transaction.send_many(target, [each.message for each in taken])
                # Not even what stands for a body fits: the brokers refuse it after the others were written.
                transaction.send(refusing, Message(os.urandom(2_000_000)))
                transaction.ack(taken)
        assert set(_bodies(place)) == before
        again = await harness.take(subscription, 3)
        assert [(each.message, each.attempt) for each in again] == [(each, 2) for each in inputs]
        async with broker.subscribe(target, group="group") as outputs:
            await harness.nothing(outputs)
            async with broker.transaction(subscription) as transaction:
                transaction.send_many(target, [each.message for each in again])
                transaction.ack(again)
            assert [each.message for each in await harness.take(outputs, 3)] == inputs
            await harness.nothing(outputs)
        assert await subscription.lag() == 0
    assert len(_bodies(place)) == 6


@pytest.mark.kafka
async def test_a_limit_that_is_lowered(harness: Harness, broker: Broker, make: Make) -> None:
    """The first message that is refused says so, the next goes by claim check."""
    topic = await make({"max.message.bytes": "15728640"})
    message = Message(os.urandom(2_000_000))
    await broker.send(topic, message)
    resource = ConfigResource(
        ResourceType.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry("max.message.bytes", "1048588", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    altered = broker.native(AdminClient).incremental_alter_configs([resource])[resource]
    await asyncio.to_thread(altered.result, 60)
    refused = 0
    async with asyncio.timeout(harness.patience):
        while True:  # the broker applies it a moment later
            try:
                await broker.send(topic, message)
            except TooLarge:
                refused += 1
                break
    await broker.send(topic, Message(b"x" * 2_000_000))
    async with broker.subscribe(topic, group="group") as subscription:
        while (await harness.one(subscription)).message.data != b"x" * 2_000_000:
            pass
    assert refused == 1


@pytest.mark.kafka
async def test_a_store_that_is_away(kafka_url: str, make: Make, tmp_path: Path) -> None:
    """What cannot be stored is not sent; what is small goes on."""
    topic = await make()
    blocked = tmp_path / "blocked"
    async with connect(kafka_url, claim_check=blocked.as_uri()) as broker:
        blocked.rmdir()
        blocked.write_bytes(b"a file where the folder was")
        with pytest.raises(Unavailable, match="store a body"):
            await broker.send(topic, Message(bytes(2_000_000)))
        await broker.send(topic, Message(b"small"))
        async with broker.subscribe(topic, group="group") as subscription:
            taken = await Harness(kafka_url).take(subscription, 1)
            assert bodies(taken) == [b"small"]


# --- object stores -------------------------------------------------------------------------------------------


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of a real S3 server, which the environment names."""
    bucket = f"bodies-{uuid.uuid4().hex[:8]}"
    made = urllib.request.Request(f"{s3_server}/{bucket}", method="PUT")
    urllib.request.urlopen(made, timeout=60).close()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return f"s3://{bucket}/claims"


@pytest.mark.s3
async def test_bodies_in_s3(s3: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/broker.db?claim_check={s3}&claim_above=100000"
    harness = Harness(url)
    async with harness.topic("group") as (broker, topic):
        message = Message(os.urandom(_LARGEST), key="large")
        await broker.send_many(topic, [message, Message(b"small")])
        assert await expired(s3, timedelta(0)) == (1, _LARGEST)
        assert await expired(s3, timedelta(days=1)) == (0, 0)
        async with broker.subscribe(topic, group="group") as subscription:
            first, second = await harness.take(subscription, 2)
            assert (first.message, second.message.data) == (message, b"small")
        assert await sweep(s3, timedelta(0)) == (1, _LARGEST)
        assert await expired(s3, timedelta(0)) == (0, 0)


@pytest.mark.s3
async def test_a_bucket_that_is_not_there(s3: str, tmp_path: Path) -> None:
    """A sender is told, and nothing is sent without its body; for a reader it is no reason for a dead letter."""
    missing = "s3://no-such-bucket/claims"
    harness = Harness(
        f"sqlite:///{tmp_path}/broker.db?claim_check={missing}&claim_above=100000", quiet=0.3
    )
    async with harness.topic("group") as (broker, topic):
        with pytest.raises(Unavailable, match="no-such-bucket"):
            await broker.send(topic, Message(bytes(200_000)))
        async with broker.subscribe(topic, group="group") as subscription:
            await harness.nothing(subscription)
    body = Reference(f"{missing}/topic/2026-01-01/{uuid.uuid4().hex}", "0" * 64, 1)
    with pytest.raises(Unavailable, match="does not exist") as caught:
        await ClaimStore(missing).get(body)
    assert "Debug" not in str(caught.value)


def test_without_the_extra(tmp_path: Path) -> None:
    """One line that says what to install."""
    program = "import sys; sys.modules['obstore'] = None; sys.argv[0] = 'x'; from hemline_broker.cli import app; app()"
    for arguments in (
        ("ensure", f"sqlite:///{tmp_path}/b.db?claim_check=file://{tmp_path}/claims", "notes"),
        ("sweep", tmp_path.as_uri(), "--older-than", "1d"),
    ):
        ended = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=120, check=False
        )  # fmt: skip
        assert ended.returncode == 2
        assert (
            ended.stderr
            == "error: a claim check needs obstore: pip install 'hemline-broker[claim-check]'\n"
        )
