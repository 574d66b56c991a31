"""``hemline send``: images through the broker, answers on the screen."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from hemline._place import StateOption
from hemline.commands._stream import (
    BrokerOption,
    ClassifierOption,
    NamespaceOption,
    Stream,
    find_stream,
)
from hemline_api import BadEvent
from hemline_api.events import IMAGE_TYPE, MAX_MESSAGE_BYTES, Prediction
from hemline_broker import Broker, Message, Subscription, connect, new_id
from hemline_runtime import UsageFailure

__all__ = ["send"]

_SOURCE: Final = "hemline-send"
_MOST_IMAGES: Final = 1000
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"RIFF", "image/webp"),
    (b"\x93NUMPY", "application/x-npy"),
)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of one image: a prediction, or the reason of its dead letter."""

    prediction: Prediction | None
    reason: str | None
    seconds: float


class _Collected:
    """The answers so far; the first one of an image holds."""

    def __init__(self, waiting: set[str]) -> None:
        self.waiting = waiting
        self.answers: dict[str, _Answer] = {}
        self.complete = asyncio.Event()

    def add(self, identity: str, answer: _Answer) -> None:
        self.waiting.discard(identity)
        self.answers[identity] = answer
        if not self.waiting:
            self.complete.set()


def send(
    images: Annotated[
        list[Path],
        typer.Argument(help="PNG, JPEG, WebP or .npy files of any size, in colour or grey."),
    ],
    state: StateOption = None,
    broker: BrokerOption = None,
    classifier: ClassifierOption = None,
    namespace: NamespaceOption = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for the answers.")
    ] = 30.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object an image instead of words.")
    ] = False,
) -> None:
    """Classify images through the broker and wait for the answers.

    Each image goes to NAME.images as any client would send it; what comes back on NAME.predictions is printed. What is
    no image ends on NAME.dead with the reason, which is printed too.

    Examples:

      hemline send examples/images/sandal5.png

      hemline send photos/*.jpg --json
    """
    if len(images) > _MOST_IMAGES:
        raise UsageFailure(f"received {len(images):,} files, expected at most {_MOST_IMAGES:,}")
    bodies = [_read(path) for path in images]
    stream = find_stream(state, broker, classifier, namespace)
    messages = [_message(body) for body in bodies]
    answers = asyncio.run(_exchange(stream, messages, timeout))
    failed = 0
    for path, message in zip(images, messages, strict=True):
        answer = answers.get(message.id)
        failed += answer is None or answer.prediction is None
        _show(path, message, answer, stream, timeout, as_json=as_json)
    if failed:
        raise typer.Exit(1)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_MESSAGE_BYTES:
            raise UsageFailure(
                f"{path}: {path.stat().st_size:,} bytes, expected at most {MAX_MESSAGE_BYTES:,}"
            )
        return path.read_bytes()
    except OSError as error:
        raise UsageFailure(f"{path}: {error.strerror or error}") from error


def _message(body: bytes) -> Message:
    kind = next((kind for magic, kind in _MAGIC if body.startswith(magic)), None)
    identity = f"send-{new_id()}"
    return Message(
        body, key=identity, id=identity, type=IMAGE_TYPE, source=_SOURCE, content_type=kind
    )


async def _exchange(
    stream: Stream, messages: Sequence[Message], timeout: float
) -> dict[str, _Answer]:
    collected = _Collected({message.id for message in messages})
    topics = stream.topics
    group = f"send-{new_id()}"
    async with connect(stream.broker) as broker:
        for topic in topics.all():
            await broker.ensure(topic)
        async with (
            _listening(broker, topics.predictions, group) as predictions,
            _listening(broker, topics.dead, group) as dead,
        ):
            started = time.monotonic()
            await broker.send_many(topics.images, messages)
            readers = (
                _read_predictions(predictions, collected, started),
                _read_dead(dead, collected, started),
                collected.complete.wait(),
            )
            tasks = [asyncio.ensure_future(reader) for reader in readers]
            try:
                done, _ = await asyncio.wait(
                    tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()  # what a reader raised is told to the user
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    return collected.answers


@asynccontextmanager
async def _listening(broker: Broker, topic: str, group: str) -> AsyncIterator[Subscription]:
    # The group exists before the images are sent, so no answer is missed.
    await broker.ensure(topic, group, start="new")
    try:
        async with broker.subscribe(topic, group=group, start="new") as subscription:
            yield subscription
    finally:
        await broker.forget(topic, group)


async def _read_predictions(
    subscription: Subscription, collected: _Collected, started: float
) -> None:
    async for batch in subscription.batches(512):
        for delivery in batch:
            if delivery.message.id not in collected.waiting:
                continue
            try:
                prediction = Prediction.from_json(delivery.message.data)
            except BadEvent:
                continue  # another's message under our id: what was sent is still waited for
            seconds = time.monotonic() - started
            collected.add(delivery.message.id, _Answer(prediction, None, seconds))
        batch.ack()


async def _read_dead(subscription: Subscription, collected: _Collected, started: float) -> None:
    async for batch in subscription.batches(64):
        for delivery in batch:
            message = delivery.message
            if message.id in collected.waiting:
                reason = message.extensions.get("deadreason", "no reason given")
                answer = _Answer(None, reason, time.monotonic() - started)
                collected.add(message.id, answer)
        batch.ack()


def _show(
    path: Path,
    message: Message,
    answer: _Answer | None,
    stream: Stream,
    timeout: float,
    *,
    as_json: bool,
) -> None:
    if answer is not None and answer.prediction is not None:
        prediction = answer.prediction
        if as_json:
            document = prediction.model_dump(mode="json", exclude_none=True)
            print(json.dumps({"file": str(path), "seconds": round(answer.seconds, 4)} | document))
        else:
            print(
                f"{path}: {prediction.label_name} {prediction.confidence:.1%} "
                f"(version {prediction.model_version}, {answer.seconds * 1000:,.0f} ms)"
            )
        return
    if answer is None:
        problem = (
            f"no answer within {timeout:g} s; is inference running? See `hemline top`. The image waits on "
            f"{stream.topics.images} as {message.id}"
        )
    else:
        problem = f"{answer.reason} (kept on {stream.topics.dead}: hemline dead show {message.id})"
    if as_json:
        print(json.dumps({"file": str(path), "id": message.id, "error": problem}))
    print(f"error: {path}: {problem}", file=sys.stderr)
