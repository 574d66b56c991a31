"""What stands for inference in the tests of the simulator: a few lines that answer, and can misbehave."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import numpy as np
import pytest

import hemline_model as hm
from hemline_api.events import Prediction
from hemline_broker import Broker, Message
from hemline_model import Dataset, InputContract, Split

CONTRACT = InputContract(height=8, width=8, channels=1)


@pytest.fixture
def dataset() -> Dataset:
    """Each image is filled with ten times its class: a classifier of one line is always right."""
    labels = np.arange(40) % 4
    images = np.broadcast_to(10 * labels[:, None, None, None], (40, *CONTRACT.shape))
    split = Split([f"t-{i}" for i in range(40)], labels, images.astype(np.uint8))
    return Dataset("tiny", ["a", "b", "c", "d"], CONTRACT, {"test": split})


def make_prediction(identity: str, label: int, version: int = 1) -> Message:
    now = datetime.now(UTC)
    body = Prediction(
        id=identity,
        label=label,
        label_name="abcd"[label],
        confidence=0.9,
        model_version=version,
        received_at=now,
        predicted_at=now,
    )
    return Message(body.to_json(), key=identity, id=identity, source="test")


@contextlib.asynccontextmanager
async def answer_images(
    broker: Broker, *, copies: int = 1, skip: Callable[[str], bool] = lambda _: False
) -> AsyncIterator[list[Message]]:
    """Answer images; ``copies`` of each answer, none where ``skip`` says so. Yields what was received."""
    received: list[Message] = []
    await broker.ensure("mnist.images", "inference")
    await broker.ensure("mnist.predictions")
    await broker.ensure("mnist.dead")

    async def run() -> None:
        async with broker.subscribe(
            "mnist.images", group="inference", dead_letter="mnist.dead"
        ) as images:
            async for delivery in images:
                message = delivery.message
                received.append(message)
                try:
                    pixels = hm.decode(message.data, CONTRACT, message.content_type)
                except hm.BadImage as error:
                    delivery.reject(str(error))
                    continue
                if not skip(message.id):
                    answer = make_prediction(message.id, min(int(pixels[0, 0, 0]) // 10, 3))
                    await broker.send_many("mnist.predictions", [answer] * copies)
                delivery.ack()

    task = asyncio.create_task(run())
    try:
        yield received
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture(name="prediction")
def _prediction() -> Callable[[str, int], Message]:
    return make_prediction


@pytest.fixture(name="answering")
def _answering() -> Callable[..., contextlib.AbstractAsyncContextManager[list[Message]]]:
    return answer_images
