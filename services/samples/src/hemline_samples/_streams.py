"""Running a stream: batches are read ahead while the client takes the ones before."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Final

from hemline_samples._dataset import DataSet
from hemline_samples._plan import Plan
from hemline_samples._source import Batch, SampleSource

__all__ = ["StallClock", "read_ahead"]

_AHEAD_BYTES: Final = 64 << 20
_AHEAD_BATCHES: Final = 8


class StallClock:
    """Tells how long a stream waits for data."""

    def __init__(self, on_stall: Callable[[float], None]) -> None:
        """Tell ``on_stall`` the seconds of each wait."""
        self._on_stall = on_stall

    def wait(self, future: "Future[Batch]") -> Batch:
        """Wait for a batch, and tell how long."""
        if future.done():
            return future.result()
        begun = time.perf_counter()
        try:
            return future.result()
        finally:
            self._on_stall(time.perf_counter() - begun)


def read_ahead(
    data: DataSet,
    plan: Plan,
    source: SampleSource,
    workers: Executor,
    *,
    position: int,
    num_batches: int | None,
    batch_bytes: int,
    clock: StallClock,
) -> Iterator[tuple[int, Batch]]:
    """Positions and batches from ``position`` on, in order.

    Up to 8 batches, or 64 MiB of them, are read and decoded by ``workers`` ahead of what is asked for. A batch that
    lies decoded in memory is not handed to them: passing it on would cost more than copying it.
    """
    depth = max(1, min(_AHEAD_BATCHES, _AHEAD_BYTES // max(1, batch_bytes)))
    ahead: deque[tuple[int, Future[Batch]]] = deque()
    end = None if num_batches is None else position + num_batches
    try:
        for place in itertools.count(position):
            chosen = plan.batch(place) if end is None or place < end else None
            if chosen is None:
                break
            if not ahead and source.is_ready(data, chosen):
                yield place, source.batch(data, chosen)
                continue
            ahead.append((place, workers.submit(source.batch, data, chosen)))
            if len(ahead) >= depth:
                first, future = ahead.popleft()
                yield first, clock.wait(future)
        while ahead:
            first, future = ahead.popleft()
            yield first, clock.wait(future)
    finally:
        for _, future in ahead:
            future.cancel()
