"""The queue of classifiers: each once at a time, none forgotten, failures less and less often."""

import asyncio
import logging

import pytest

from hemline_operator.driver._queue import WorkQueue
from hemline_operator.kube import Unreachable
from hemline_operator.plan import Key

A, B = Key("shop", "a"), Key("shop", "b")


async def run_until(queue: WorkQueue, work: object, done: asyncio.Event, workers: int = 4) -> None:
    task = asyncio.create_task(queue.run(work, workers=workers))  # type: ignore[arg-type]
    try:
        await asyncio.wait_for(done.wait(), 60)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_changes_during_a_look_is_looked_at_again_and_never_twice_at_once() -> None:
    queue, done = WorkQueue(), asyncio.Event()
    running: set[Key] = set()
    looks: list[Key] = []

    async def work(key: Key) -> None:
        assert key not in running
        running.add(key)
        looks.append(key)
        if looks.count(key) == 1:
            queue.add(key)
            queue.add(key)
        await asyncio.sleep(0.01)
        running.remove(key)
        if len(looks) == 4:
            done.set()

    for key in (A, B, A):
        queue.add(key)
    await run_until(queue, work, done)
    assert sorted(looks) == [A, A, B, B]


async def test_a_failure_is_tried_again_and_hinders_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue, done = WorkQueue(), asyncio.Event()
    looks: list[Key] = []

    async def work(key: Key) -> None:
        looks.append(key)
        if key == A and looks.count(A) < 3:
            raise Unreachable("no answer") if looks.count(A) == 1 else ValueError("a defect")
        if looks.count(A) == 3:
            done.set()

    queue.add(A)
    queue.add(B)
    with caplog.at_level(logging.WARNING):
        await run_until(queue, work, done)
    assert looks.index(B) == 1
    expected, defect = caplog.records
    assert (
        expected.exc_info is None
    )  # what a network does is a line, what we did wrong is a traceback
    assert "no answer" in expected.getMessage()
    assert defect.exc_info is not None


def test_the_wait_after_failures_grows_and_is_bounded() -> None:
    queue = WorkQueue()
    waits = [queue._backoff(A) for _ in range(40)]
    assert waits == sorted(waits)
    assert waits[0] < 1
    assert waits[-1] == 60.0


async def test_the_earlier_of_two_times_holds() -> None:
    queue, done = WorkQueue(), asyncio.Event()

    async def work(key: Key) -> None:
        done.set()

    queue.add(A, 3600)
    queue.add(A, 0)
    assert queue.overdue() == 1
    await run_until(queue, work, done)
