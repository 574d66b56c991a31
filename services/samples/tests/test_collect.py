"""`collect` as a process: killed, stopped, fed with rubbish."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hemline_api.events import Label, Prediction
from hemline_broker import Message, connect

Place = Any
pytestmark = pytest.mark.timeout(600)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
CLASSES = [str(number) for number in range(10)]


def image(number: int, data: bytes) -> Message:
    return Message(
        data, key=f"i-{number}", id=f"i-{number}", source="test", content_type="image/png"
    )


def label(number: int, *, value: int | str | None = None, at: int = 0) -> Message:
    body = Label(id=f"i-{number}", label=number % 10 if value is None else value)
    time = EPOCH + timedelta(seconds=at)
    return Message(body.to_json(), key=f"i-{number}", source="test", time=time)


def prediction(number: int) -> Message:
    now = datetime.now(UTC)
    body = Prediction(
        id=f"i-{number}",
        label=number % 10 if number % 4 else 0,
        label_name=CLASSES[number % 10],
        confidence=0.5,
        model_version=1,
        received_at=now,
        predicted_at=now,
    )
    return Message(body.to_json(), key=f"i-{number}", id=f"i-{number}", source="test")


async def send_all(broker: Any, png_of: Callable[[int], bytes], first: int, count: int) -> None:
    numbers = range(first, first + count)
    for topic in ("mnist.images", "mnist.labels", "mnist.predictions"):
        await broker.ensure(topic)
    # Labels first: some come before their image on any broker.
    await broker.send_many("mnist.labels", [label(n) for n in numbers])
    await broker.send_many("mnist.predictions", [prediction(n) for n in numbers])
    await broker.send_many("mnist.images", [image(n, png_of(n)) for n in numbers])


def counts(place: Place) -> tuple[int, int, int, int]:
    """Distinct images, labelled ones, answered ones, and those answered rightly."""
    summary = place.samples().summary(CLASSES, window=100_000)
    version = summary.versions[0] if summary.versions else None
    return (
        summary.images,
        summary.labelled,
        version.answered if version else 0,
        version.correct if version else 0,
    )


async def test_killed_again_and_again_it_loses_nothing_and_counts_nothing_twice(
    place: Place, png_of: Callable[[int], bytes], until: Callable[..., None]
) -> None:
    collect = place.collect("--group-rows", "40", "--group-seconds", "0.05")
    async with connect(place.broker) as broker:
        for start in range(0, 600, 200):
            await send_all(broker, png_of, start, 200)
            collect.start()
            until(lambda: collect.metric("hemline_collect_rows_total") > 60, what="some rows")
            collect.kill()
        collect.start()
        right = sum(1 for n in range(600) if n % 4 or n % 10 == 0)
        until(lambda: counts(place) == (600, 600, 600, right), what="every row")
        assert collect.stop() == 0
    assert place.samples().summary(CLASSES).waiting_for_image == 0


async def test_two_replicas_share_the_work(
    place: Place, png_of: Callable[[int], bytes], until: Callable[..., None]
) -> None:
    replicas = [place.collect("--group-rows", "20", "--group-seconds", "0") for _ in range(2)]
    async with connect(place.broker) as broker:
        await send_all(broker, png_of, 0, 300)
    for replica in replicas:
        replica.start()
    right = sum(1 for n in range(300) if n % 4 or n % 10 == 0)
    until(lambda: counts(place) == (300, 300, 300, right), what="every row")
    assert [replica.stop() for replica in replicas] == [0, 0]


async def test_what_is_no_label_or_prediction_is_dead_lettered_with_the_reason(
    place: Place, png_of: Callable[[int], bytes], until: Callable[..., None]
) -> None:
    collect = place.collect("--group-seconds", "0").start()
    rubbish = {
        "mnist.labels": [b"not json", b'{"id": "i-1"}', b'{"id": "", "label": 1}', b"\xff\xfe"],
        "mnist.predictions": [b"[]", b'{"id": "i-1", "label": -1}'],
    }
    async with connect(place.broker) as broker:
        await broker.ensure("mnist.dead", "test", start="oldest")
        for topic, bodies in rubbish.items():
            await broker.send_many(topic, [Message(body, source="test") for body in bodies])
        # What is no image is inference's to bury, which reads it too: here it only must do no harm.
        await broker.send("mnist.images", Message(b"once upon a time", key="text", id="text"))
        await send_all(broker, png_of, 0, 3)
        until(lambda: counts(place)[:3] == (3, 3, 3), what="the good ones")
        dead: dict[bytes, Message] = {}
        async with broker.subscribe("mnist.dead", group="test") as letters:
            async for letter in letters:
                dead[letter.message.data] = letter.message
                letter.ack()
                if len(dead) == 6:
                    break
    for topic, bodies in rubbish.items():
        for body in bodies:
            assert dead[body].extensions["deadtopic"] == topic
            assert dead[body].extensions["deadreason"].startswith("no ")
    assert "label: Field required" in dead[b'{"id": "i-1"}'].extensions["deadreason"]
    assert collect.metric("hemline_collect_rejected_messages_total") == 7
    assert collect.status()["labels"]["refused"] == 4


async def test_corrected_and_retracted_labels_and_big_images_are_taken(
    place: Place, png_of: Callable[[int], bytes], until: Callable[..., None]
) -> None:
    collect = place.collect("--group-mib", "8", "--group-seconds", "0").start()
    retraction = Message(Label(id="i-1", label=None).to_json(), time=EPOCH + timedelta(hours=1))
    async with connect(place.broker) as broker:
        await send_all(broker, png_of, 0, 3)
        await broker.send("mnist.labels", label(0, value="7", at=60))
        await broker.send("mnist.labels", retraction)
        for number in range(3, 7):
            await broker.send("mnist.images", image(number, png_of(number) + bytes(6_000_000)))
        until(lambda: counts(place)[:2] == (7, 2), what="every row")
    summary = place.samples().summary(CLASSES)
    assert {one.name: one.labelled for one in summary.classes if one.labelled} == {"2": 1, "7": 1}
    assert summary.waiting_for_label == 5
    assert collect.stop() == 0


async def test_sigterm_commits_the_group_that_is_filling(
    place: Place, png_of: Callable[[int], bytes], until: Callable[..., None]
) -> None:
    collect = place.collect("--group-seconds", "3").start()
    async with connect(place.broker) as broker:
        await send_all(broker, png_of, 0, 5)
    # What it has not taken yet stays on the broker, which is right but not what is tested here.
    until(
        lambda: collect.metric("hemline_broker_received_messages_total") >= 5,
        what="the images in its hands",
    )
    assert collect.stop() == 0
    assert counts(place)[0] == 5


def test_a_wrong_broker_is_one_line(place: Place) -> None:
    collect = place.service("collect", "--broker", "carrier-pigeon://loft")
    assert collect.spawn().wait(60) == 1
    assert "Traceback" not in collect.log()
    assert "carrier-pigeon" in collect.log()
