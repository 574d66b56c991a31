"""Reading the stream on a thread of its own, so that training does not wait for the network."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from hemline_trainer._client import Samples
from hemline_trainer._errors import Interrupted

__all__ = ["prefetch"]

_POLL_S: Final = 0.2


def prefetch(
    batches: Iterator[Samples],
    *,
    depth: int,
    stop: threading.Event,
    on_wait: Callable[[float], None],
) -> Iterator[Samples]:
    """``batches`` in the same order, up to ``depth`` of them read ahead.

    ``on_wait`` is told the seconds that each ``next`` had to wait. An error of ``batches`` is raised here, after
    the batches before it. Closing this iterator ends the thread.

    Raises:
        Interrupted: ``stop`` was set while there was nothing to hand out.
    """
    ready: queue.Queue[Samples | Exception | None] = queue.Queue(maxsize=depth)
    closed = threading.Event()

    def hand_over(item: Samples | Exception | None) -> None:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=_POLL_S)
                return

    def read() -> None:
        try:
            for batch in batches:
                hand_over(batch)
                if closed.is_set():
                    break
            hand_over(None)
        except Exception as error:  # noqa: BLE001 - carried to the thread that reads
            hand_over(error)
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=read, name="samples", daemon=True)
    thread.start()
    try:
        while True:
            begun = time.perf_counter()
            item = _next(ready, stop)
            on_wait(time.perf_counter() - begun)
            if item is None:
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        closed.set()


def _next(
    ready: "queue.Queue[Samples | Exception | None]", stop: threading.Event
) -> Samples | Exception | None:
    while True:
        try:
            return ready.get(timeout=_POLL_S)
        except queue.Empty:
            if stop.is_set():
                raise Interrupted("stopped while waiting for samples") from None
