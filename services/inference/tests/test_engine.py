"""The engine's thread."""

import queue
import threading
from datetime import UTC, datetime
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from hemline_inference._engine import Answer, Chunk, Engine
from hemline_inference._slots import Slot
from hemline_model import Predictions


class Model:
    """Answers with the first pixel of each image; waits for its gate."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[int] = []
        self.error: Exception | None = None

    def predict(self, images: npt.NDArray[np.uint8]) -> Predictions:
        self.entered.set()
        assert self.gate.wait(30)
        self.batches.append(len(images))
        if self.error is not None:
            raise self.error
        labels = images[:, 0, 0, 0].astype(np.int64)
        ones = np.ones(len(images), np.float32)
        return Predictions(labels, ones, np.ones((len(images), 1), np.float32))


def chunk(slot: Slot, *values: int) -> Chunk:
    images = np.empty((len(values), 2, 2, 1), np.uint8)
    images[:] = np.array(values, np.uint8)[:, None, None, None]
    fakes = cast("Any", list(values))
    return Chunk(slot, fakes, None, datetime.now(UTC), 0.0, images)


def decode(chunk: Chunk) -> None:
    """Undecoded chunks hold their pixels' values; 255 cannot be decoded."""
    values = [int(value) for value in cast("Any", chunk.deliveries)]
    chunk.rejected = cast("Any", [(value, "no image") for value in values if value == 255])
    chunk.deliveries = cast("Any", [value for value in values if value != 255])
    kept = np.array(chunk.deliveries, np.uint8)
    chunk.images = np.repeat(kept, 4).reshape(-1, 2, 2, 1)


def slot(model: Model, version: int = 1) -> Slot:
    return Slot(version, cast("Any", model))


def started(size: int) -> tuple[Engine, "queue.Queue[Answer]"]:
    answers: queue.Queue[Answer] = queue.Queue()
    engine = Engine(size, decode, answers.put)
    engine.start()
    return engine, answers


def test_one_image_is_answered_alone_and_what_waits_meanwhile_together() -> None:
    model = Model()
    engine, answers = started(8)
    model.gate.clear()
    served = slot(model)
    engine.put(chunk(served, 1))
    assert model.entered.wait(30)
    for values in ((2, 3), (4,), (5, 6, 7)):
        engine.put(chunk(served, *values))
    model.gate.set()
    first, second = answers.get(timeout=30), answers.get(timeout=30)
    engine.close()
    assert model.batches == [1, 6]
    assert first.predictions is not None and second.predictions is not None
    assert first.predictions.labels.tolist() == [1]
    assert second.predictions.labels.tolist() == [2, 3, 4, 5, 6, 7]
    assert [len(each.deliveries) for each in second.chunks] == [2, 1, 3]


def test_a_run_stays_below_the_limit_and_has_one_model() -> None:
    old, new = Model(), Model()
    engine, answers = started(4)
    old.gate.clear()
    engine.put(chunk(slot(old), 0))
    assert old.entered.wait(30)
    one, two = slot(old, 1), slot(new, 2)
    for each in (chunk(one, 1, 2), chunk(one, 3, 4), chunk(one, 5), chunk(two, 6), chunk(two, 7)):
        engine.put(each)
    old.gate.set()
    for _ in range(4):
        answers.get(timeout=30)
    engine.close()
    assert old.batches == [1, 4, 1]
    assert new.batches == [2]


def test_an_engine_that_raises_answers_with_the_error_and_goes_on() -> None:
    model = Model()
    model.error = RuntimeError("first line\nsecond line")
    engine, answers = started(8)
    engine.put(chunk(slot(model), 1))
    failed = answers.get(timeout=30)
    model.error = None
    engine.put(chunk(slot(model), 2))
    fine = answers.get(timeout=30)
    engine.close()
    assert failed.predictions is None and failed.error == "first line second line"
    assert fine.predictions is not None and fine.error is None


def test_close_answers_what_waits() -> None:
    model = Model()
    engine, answers = started(2)
    model.gate.clear()
    for value in range(6):
        engine.put(chunk(slot(model), value))
    model.gate.set()
    engine.close()
    seen = [answers.get_nowait() for _ in range(answers.qsize())]
    assert sum(len(each.chunks) for each in seen) == 6


def test_a_chunk_without_pixels_is_decoded_first() -> None:
    model = Model()
    engine, answers = started(8)
    raw = chunk(slot(model), 1, 255, 2)
    raw.images = None
    engine.put(raw)
    answer = answers.get(timeout=30)
    nothing = chunk(slot(model), 255)
    nothing.images = None
    engine.put(nothing)
    none = answers.get(timeout=30)
    engine.close()
    assert answer.predictions is not None and answer.predictions.labels.tolist() == [1, 2]
    assert none.predictions is None and none.error is None and len(none.chunks[0].rejected) == 1
    assert model.batches == [2]
