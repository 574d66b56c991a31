"""A queue of classifiers to look at: each at most once at a time, after errors less and less often."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from hemline_operator.kube import KubeError
from hemline_operator.plan import Key

__all__ = ["WorkQueue"]

logger = logging.getLogger(__name__)

_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 60.0

Work = Callable[[Key], Awaitable[float | None]]


class WorkQueue:
    """Keys with the time at which each is due.

    A key that is added while it is worked on is worked on again afterwards, so no change is missed; one that is
    added many times is worked on once.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._due: dict[Key, float] = {}
        self._running: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._numbers = itertools.count()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Keys that are due now or later, without those being worked on."""
        return len(self._due)

    def overdue(self) -> int:
        """Keys that are due now and not yet worked on."""
        now = asyncio.get_running_loop().time()
        return sum(due <= now for due in self._due.values())

    def add(self, key: Key, delay: float = 0.0) -> None:
        """Look at this classifier after so many seconds, or earlier if it is to be looked at earlier anyway."""
        due = asyncio.get_running_loop().time() + delay
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._numbers), key))
        self._wake.set()

    async def run(self, work: Work, *, workers: int) -> None:
        """Work until cancelled.

        Args:
            work: looks at one classifier; returns the seconds after which to look again, or None. What it raises is
                taken as a failure: the key comes again, later each time.
            workers: how many keys are worked on at once.
        """
        slots = asyncio.Semaphore(workers)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await slots.acquire()
                key = await self._next()
                self._running.add(key)
                task = tasks.create_task(self._one(key, work))
                task.add_done_callback(lambda _: slots.release())

    async def _next(self) -> Key:
        while True:
            self._wake.clear()
            now = asyncio.get_running_loop().time()
            held: list[tuple[float, int, Key]] = []
            found = None
            while self._heap and self._heap[0][0] <= now:
                entry = heapq.heappop(self._heap)
                if self._due.get(entry[2]) != entry[0]:
                    continue  # it was added again for an earlier time
                if entry[2] in self._running:
                    held.append(entry)
                    continue
                found = entry[2]
                break
            for entry in held:
                heapq.heappush(self._heap, entry)
            if found is not None:
                del self._due[found]
                return found
            upcoming = min(
                (due for due, _, key in self._heap if key not in self._running), default=None
            )
            timeout = None if upcoming is None else max(0.0, upcoming - now)
            try:
                await asyncio.wait_for(self._wake.wait(), timeout)
            except TimeoutError:
                continue

    async def _one(self, key: Key, work: Work) -> None:
        try:
            again = await work(key)
        except KubeError as error:
            again = self._backoff(key)
            logger.warning("%s: %s; trying again in %.1f s", key, error, again)
        except Exception:
            again = self._backoff(key)
            logger.exception("%s: trying again in %.1f s", key, again)
        else:
            self._failures.pop(key, None)
        finally:
            self._running.discard(key)
            self._wake.set()
        if again is not None:
            self.add(key, again)

    def _backoff(self, key: Key) -> float:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        return float(min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2 ** min(failures - 1, 16)))
