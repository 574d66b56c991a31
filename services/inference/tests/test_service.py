"""The service in this process, over the embedded broker: what it answers, refuses and swaps."""

import asyncio
import io
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hemline_api.events import IMAGE_TYPE, PREDICTION_TYPE, Prediction
from hemline_broker import Broker, Delivery, Message, connect
from hemline_inference import Limits, Service, Settings, Timing
from hemline_inference import _pipeline as pipeline_module
from hemline_inference import _service as service_module

Bench = Any

QUICK = Timing(rollout_poll=0.02, retry_refused=0.2, retry_first=0.02, retry_most=0.1)


class Client:
    """Sends images and keeps every answer and dead letter, repeats included."""

    def __init__(self, broker: Broker, service: Service) -> None:
        self.broker = broker
        self.service = service
        self.answers: list[Prediction] = []
        self.raw: list[Message] = []
        self.dead: list[Message] = []

    async def send(self, images: Mapping[str, bytes]) -> None:
        messages = [
            Message(data, key=name, id=name, type=IMAGE_TYPE, content_type="image/png")
            for name, data in images.items()
        ]
        await self.broker.send_many("mnist.images", messages)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(90):
            while not condition():  # noqa: ASYNC110 - the other side is another task's state
                await asyncio.sleep(0.01)

    async def answered(self, names: Sequence[str]) -> dict[str, Prediction]:
        await self.until(lambda: {a.id for a in self.answers} >= set(names))
        return {answer.id: answer for answer in self.answers}

    async def collect(self, topic: str, keep: Callable[[Delivery], None]) -> None:
        async with self.broker.subscribe(topic, group="test") as subscription:
            async for delivery in subscription:
                keep(delivery)
                delivery.ack()

    def keep_answer(self, delivery: Delivery) -> None:
        self.raw.append(delivery.message)
        self.answers.append(Prediction.from_json(delivery.message.data))

    def status(self) -> Mapping[str, Any]:
        return self.service.status()

    def value(self, name: str, **labels: str) -> float | None:
        return self.service.metrics.registry.get_sample_value(name, labels)


@asynccontextmanager
async def running(bench: Bench, **changes: Any) -> AsyncIterator[Client]:
    """A service and a client of it."""
    url = f"memory:{uuid.uuid4().hex}"
    settings = Settings(
        broker=url,
        classifier="mnist",
        lake=bench.uri,
        rollout=bench.rollout,
        cache=bench.cache,
        **{"timing": QUICK, **changes},
    )
    async with connect(url) as broker:
        for topic in ("mnist.images", "mnist.predictions", "mnist.dead"):
            await broker.ensure(topic)
        service = Service(settings)
        client = Client(broker, service)
        stop = asyncio.Event()
        tasks = [
            asyncio.create_task(client.collect("mnist.predictions", client.keep_answer)),
            asyncio.create_task(
                client.collect("mnist.dead", lambda each: client.dead.append(each.message))
            ),
        ]
        serving = asyncio.create_task(service.run(stop))
        try:
            yield client
        finally:
            stop.set()
            await asyncio.wait_for(serving, 60)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def named(pngs: Sequence[bytes], count: int, prefix: str = "image") -> dict[str, bytes]:
    return {f"{prefix}-{n}": pngs[n % len(pngs)] for n in range(count)}


async def test_images_are_answered_with_the_right_class_and_version(
    bench: Bench, pngs: list[bytes], labels: list[int]
) -> None:
    bench.roll_out(3, bench.publish("one"))
    async with running(bench) as client:
        images = named(pngs, 200)
        await client.send(images)
        answers = await client.answered(list(images))
        right = sum(answers[f"image-{n}"].label == labels[n] for n in range(200))
        assert right > 160
        one = answers["image-0"]
        assert one.label_name == bench.names[one.label]
        assert one.model_version == 1
        assert one.probabilities is None
        assert one.received_at <= one.predicted_at
        assert {(m.id, m.key, m.type) for m in client.raw if m.id == "image-0"} == {
            ("image-0", "image-0", PREDICTION_TYPE)
        }
        await client.until(lambda: client.status()["answered"] == 200)
        status = client.status()
        assert (status["state"], status["revision"], status["serving"]) == ("serving", 3, [1])
        assert status["refused"] == {} and status["problem"] is None
        assert client.service.healthy() is None
        assert client.value("hemline_inference_revision_number") == 3
        created = client.value(
            "hemline_inference_model_created_seconds", version="1", role="stable"
        )
        assert created is not None and 0 < created <= time.time()
        assert client.value("hemline_inference_answer_age_seconds_count") == 200
        counted = sum(
            client.value("hemline_inference_predictions_total", version="1", label=name) or 0
            for name in bench.names
        )
        assert counted == 200


async def test_every_probability_is_published_when_asked_for(
    bench: Bench, pngs: list[bytes]
) -> None:
    bench.roll_out(1, bench.publish("one"))
    async with running(bench, probabilities=True) as client:
        await client.send(named(pngs, 3))
        for answer in (await client.answered(["image-0", "image-1", "image-2"])).values():
            assert answer.probabilities is not None and len(answer.probabilities) == 10
            assert answer.probabilities[answer.label] == answer.confidence
            assert abs(sum(answer.probabilities) - 1) < 1e-4


async def test_it_waits_for_a_model_and_then_answers_what_came_before(
    bench: Bench, pngs: list[bytes]
) -> None:
    async with running(bench) as client:
        await client.send(named(pngs, 5))
        await client.until(lambda: client.status()["problem"] is not None)
        assert client.status()["state"] == "waiting"
        assert client.status()["revision"] is None
        assert "rollout.json does not exist yet" in (client.service.healthy() or "")
        bench.roll_out(1, 1)
        await client.until(lambda: "1" in client.status()["refused"])
        assert "no model version 1" in (client.service.healthy() or "")
        assert bench.publish("one") == 1
        await client.answered([f"image-{n}" for n in range(5)])
        assert client.service.healthy() is None
        assert client.status()["refused"] == {}


async def test_what_is_no_image_becomes_a_dead_letter_with_one_line(
    bench: Bench, pngs: list[bytes]
) -> None:
    bench.roll_out(1, bench.publish("one"))
    async with running(bench) as client:
        await client.send({"note": b"this is\na text file", **named(pngs, 3)})
        await client.answered(["image-0", "image-1", "image-2"])
        await client.until(lambda: bool(client.dead))
        (letter,) = client.dead
        assert (letter.id, letter.data) == ("note", b"this is\na text file")
        reason = letter.extensions["deadreason"]
        assert "PNG" in reason and "\n" not in reason
        assert "note" not in {answer.id for answer in client.answers}
        rejected = "hemline_inference_rejected_images_total"
        assert client.value(rejected, reason="undecodable") == 1
        # And alone, when nothing else is in its batch.
        await client.send({"empty": b""})
        await client.until(lambda: len(client.dead) == 2)


async def test_an_image_in_colour_or_of_another_size_is_brought_to_the_model_s_input(
    bench: Bench, pngs: list[bytes]
) -> None:
    bench.roll_out(1, bench.publish("one"))
    large = Image.open(io.BytesIO(pngs[0])).resize((280, 280))
    images = {"plain": pngs[0]}
    for kind in ("PNG", "JPEG", "WEBP"):
        out = io.BytesIO()
        large.convert("RGB").save(out, kind)
        images[kind] = out.getvalue()
    array = io.BytesIO()
    np.save(array, np.asarray(large))
    images["npy"] = array.getvalue()
    async with running(bench) as client:
        await client.send(images)
        answers = await client.answered(list(images))
        assert len({answer.label for answer in answers.values()}) == 1
        assert client.dead == []


async def test_models_are_swapped_under_load_and_no_answer_is_torn(
    bench: Bench, pngs: list[bytes]
) -> None:
    first, second = bench.publish("one"), bench.publish_renamed("two")
    bench.roll_out(1, first)
    async with running(bench) as client:
        total, part, stable = 0, 40, first
        for revision in range(2, 7):
            stable = second if stable == first else first
            bench.roll_out(revision, stable)
            answered = len(client.answers)
            while client.status()["revision"] != revision or len(client.answers) < answered + 100:
                if total - len(client.answers) < 300:
                    await client.send(named(pngs, part, f"r{revision}-{total}"))
                    total += part
                await asyncio.sleep(0.01)
        await client.send(named(pngs, 20, "after"))
        await client.answered([f"after-{n}" for n in range(20)])
        await client.until(lambda: len({a.id for a in client.answers}) == total + 20)
        for answer in client.answers:
            of_second = answer.label_name.endswith(" of two")
            assert answer.model_version == (second if of_second else first)
        assert {a.model_version for a in client.answers} == {first, second}
        assert {a.model_version for a in client.answers if a.id.startswith("after")} == {stable}


async def test_a_canary_answers_its_share_of_the_ids(bench: Bench, pngs: list[bytes]) -> None:
    first, second = bench.publish("one"), bench.publish_renamed("two")
    rollout = bench.roll_out(1, first, second, 0.3)
    async with running(bench) as client:
        images = named(pngs, 300)
        await client.send(images)
        answers = await client.answered(list(images))
        expected = {name: rollout.version_for(name) for name in images}
        assert {name: answer.model_version for name, answer in answers.items()} == expected
        assert set(expected.values()) == {first, second}
        assert client.status()["serving"] == [first, second]


async def test_a_corrupt_version_is_refused_while_the_old_one_serves(
    bench: Bench, pngs: list[bytes]
) -> None:
    first, second = bench.publish("one"), bench.publish_renamed("two")
    bench.damage(second)
    bench.roll_out(1, first)
    async with running(bench) as client:
        await client.send(named(pngs, 10, "before"))
        await client.answered([f"before-{n}" for n in range(10)])
        bench.roll_out(2, second)
        await client.until(lambda: client.status()["revision"] == 2)
        status = client.status()
        assert status["serving"] == [first]
        assert list(status["refused"]) == ["2"] and "altered" in status["refused"]["2"]
        assert client.service.healthy() is None
        assert client.value("hemline_inference_refused_versions_total", reason="damaged") == 1
        await client.send(named(pngs, 10, "after"))
        answers = await client.answered([f"after-{n}" for n in range(10)])
        assert {answer.model_version for answer in answers.values()} == {first}


async def test_a_new_model_that_fails_on_real_images_costs_none_of_them(
    bench: Bench, pngs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = bench.publish("one"), bench.publish_renamed("two")
    bench.roll_out(1, first)
    async with running(bench) as client:
        await client.send(named(pngs, 10, "before"))
        await client.answered([f"before-{n}" for n in range(10)])
        models = client.service._models
        bench.roll_out(2, second)
        await client.until(lambda: client.status()["serving"] == [second])
        serving = models.serving
        assert serving is not None

        def fail(images: object) -> None:
            raise RuntimeError("an operator fails")

        monkeypatch.setattr(serving.stable.classifier, "predict", fail)
        await client.send({**named(pngs, 10, "after"), "note": b"no image"})
        answers = await client.answered([f"after-{n}" for n in range(10)])
        assert {a.model_version for n, a in answers.items() if n.startswith("after")} == {first}
        assert client.status()["refused"] == {"2": "it raises: an operator fails"}
        await client.until(lambda: len(client.dead) == 1)


async def test_an_engine_that_fails_for_a_while_loses_nothing(
    bench: Bench, pngs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.roll_out(1, bench.publish("one"))
    async with running(bench) as client:
        await client.send(named(pngs, 5, "before"))
        await client.answered([f"before-{n}" for n in range(5)])
        serving = client.service._models.serving
        assert serving is not None

        def fail(images: object) -> None:
            raise RuntimeError("no memory")

        with monkeypatch.context() as patch:
            patch.setattr(serving.stable.classifier, "predict", fail)
            await client.send(named(pngs, 5, "after"))
            await client.until(lambda: client.status()["failed_runs"] >= 3)
            assert "no memory" in (client.service.healthy() or "")
        await client.answered([f"after-{n}" for n in range(5)])
        await client.until(lambda: client.service.healthy() is None)
        assert client.dead == []


async def test_predictions_that_cannot_be_sent_now_are_sent_later(
    bench: Bench, pngs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hemline_broker import SendFailed, TooLarge, Unavailable

    bench.roll_out(1, bench.publish("one"))
    real = Broker.send_many
    calls = []

    async def send_many(
        self: Broker, topic: str, messages: Sequence[Message], *, timeout: float = 30.0
    ) -> Any:
        if topic == "mnist.predictions":
            calls.append(len(messages))
            if len(calls) == 1:
                raise Unavailable("the broker is away")
            unsendable = [n for n, m in enumerate(messages) if m.id == "image-1"]
            if len(calls) == 2:
                await real(self, topic, [m for m in messages if m.id == "image-0"])
                errors: dict[int, Any] = {n: Unavailable("not yet") for n in range(len(messages))}
                errors = {n: e for n, e in errors.items() if messages[n].id != "image-0"}
                errors |= {n: TooLarge("no room") for n in unsendable}
                raise SendFailed(topic, errors, len(messages))
        return await real(self, topic, messages, timeout=timeout)

    monkeypatch.setattr(Broker, "send_many", send_many)
    async with running(bench) as client:
        await client.until(lambda: client.service.healthy() is None)
        await client.send(named(pngs, 5))
        await client.answered(["image-0", "image-2", "image-3", "image-4"])
        await client.until(lambda: len(client.dead) == 1)
        assert client.dead[0].id == "image-1"
        assert "no room" in client.dead[0].extensions["deadreason"]
        rejected = "hemline_inference_rejected_images_total"
        assert client.value(rejected, reason="unsendable") == 1
        await client.until(lambda: client.status()["answered"] == 4)
        assert len(client.answers) == 4


async def test_stopping_answers_what_was_taken_and_leaves_the_rest_to_the_next(
    bench: Bench, pngs: list[bytes]
) -> None:
    bench.roll_out(1, bench.publish("one"))
    url = f"memory:{uuid.uuid4().hex}"
    settings = Settings(
        broker=url, classifier="mnist", lake=bench.uri, rollout=bench.rollout, cache=bench.cache,
        timing=QUICK, limits=Limits(batch_images=16),
    )  # fmt: skip
    async with connect(url) as broker:
        for topic in ("mnist.images", "mnist.predictions"):
            await broker.ensure(topic)
        await broker.ensure("mnist.predictions", "test")
        images = named(pngs, 400)
        await broker.send_many(
            "mnist.images", [Message(data, key=name, id=name) for name, data in images.items()]
        )
        answered: list[str] = []
        runs = published = 0
        async with broker.subscribe("mnist.predictions", group="test") as predictions:
            reading = aiter(predictions)
            while set(answered) != set(images):
                runs += 1
                service, stop = Service(settings), asyncio.Event()
                task = asyncio.create_task(service.run(stop))
                async with asyncio.timeout(60):
                    delivery = await anext(reading)
                    answered.append(delivery.message.id)
                    delivery.ack()
                stop.set()
                await asyncio.wait_for(task, 60)
                published += service.status()["answered"]
                # All that this run counted as answered is there, and nothing of it comes again.
                async with asyncio.timeout(60):
                    while len(answered) < published:
                        delivery = await anext(reading)
                        answered.append(delivery.message.id)
                        delivery.ack()
        assert runs >= 2
        assert len(answered) == len(set(answered)) == 400


async def test_it_can_be_stopped_while_the_broker_is_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hemline_broker import Unavailable

    asked = asyncio.Event()

    @asynccontextmanager
    async def connect_in_vain(*_: object, **__: object) -> AsyncIterator[None]:
        if not asked.is_set():
            asked.set()
            raise Unavailable("nobody answers")
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(service_module, "connect", connect_in_vain)
    bench.roll_out(1, bench.publish("one"))
    settings = Settings(
        broker="memory:", classifier="mnist", lake=bench.uri, rollout=bench.rollout,
        cache=bench.cache, timing=QUICK,
    )  # fmt: skip
    service, stop = Service(settings), asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    await asyncio.wait_for(asked.wait(), 60)
    async with asyncio.timeout(60):
        while "away" not in (service.healthy() or ""):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(task, 60)


async def test_a_broker_that_refuses_for_good_ends_the_service(bench: Bench) -> None:
    from hemline_broker import BrokerError

    bench.roll_out(1, bench.publish("one"))
    settings = Settings(
        broker="sqlite:///no/such/folder/broker.db", classifier="mnist", lake=bench.uri,
        rollout=bench.rollout, cache=bench.cache, timing=QUICK,
    )  # fmt: skip
    with pytest.raises(BrokerError, match="folder"):
        await asyncio.wait_for(Service(settings).run(asyncio.Event()), 60)


async def test_a_defect_in_publishing_ends_the_service_instead_of_hanging_it(
    bench: Bench, pngs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.roll_out(1, bench.publish("one"))

    def fail(*_: object, **__: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(pipeline_module, "encode_predictions", fail)
    with pytest.raises(KeyError, match="a defect"):
        async with running(bench) as client:
            await client.send(named(pngs, 5))
            await asyncio.sleep(0)
            await client.until(lambda: client.service._stopping)
