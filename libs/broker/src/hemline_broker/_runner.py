"""Handlers side by side: `Subscription.run`."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from hemline_broker._delivery import HANDED, WAITING, Delivery
from hemline_broker._errors import InvalidOption, Reject
from hemline_broker._retry import Retry

if TYPE_CHECKING:
    from hemline_broker._subscription import Subscription

_log = logging.getLogger(__name__)


class Runner:
    """Calls a handler for each delivery, at most `concurrency` at once, one at a time per key if asked."""

    def __init__(
        self,
        subscription: Subscription,
        handler: Callable[[Delivery], Awaitable[None]],
        retry: Retry,
        concurrency: int,
        by_key: bool,
    ) -> None:
        if concurrency < 1:
            raise InvalidOption(f"concurrency must be at least 1, got {concurrency}")
        self._subscription = subscription
        self._handler = handler
        self._retry = retry
        self._slots = asyncio.Semaphore(concurrency)
        self._by_key = by_key
        # Key → the delivery of that key that is being handled, and what waits behind it. Bounded by in_flight.
        self._busy: dict[str, deque[Delivery]] = {}
        # Each with its line: the delivery that it handles, and what waits behind that.
        self._tasks: dict[asyncio.Task[None], deque[Delivery]] = {}
        # What each task's handler is at work on.
        self._at_work: dict[asyncio.Task[None] | None, Delivery] = {}

    async def run(self) -> None:
        """Return when the subscription is closed and every handler has ended, or was cancelled after the drain."""
        # From the start: at the close, the loop below may be waiting for the slot of a handler that never ends.
        warden = asyncio.get_running_loop().create_task(self._cut_off())
        try:
            async for delivery in self._subscription:
                key = delivery.message.key if self._by_key else None
                if key is not None and key in self._busy:
                    self._busy[key].append(delivery)
                    continue
                line = deque((delivery,))
                try:
                    await self._slots.acquire()
                except asyncio.CancelledError:
                    self._put_back(line)
                    raise
                if key is not None:
                    self._busy[key] = line
                self._start(line, key)
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            warden.cancel()
            for task in reversed(self._tasks):  # what is put back last is handed out first
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    async def _cut_off(self) -> None:
        """Cancel the handlers that have not ended when the subscription has given back what they held."""
        await self._subscription.ended()
        for task in tuple(self._tasks):
            delivery = self._at_work.get(task)
            if delivery is None or delivery.state == HANDED:
                task.cancel()

    def _start(self, line: deque[Delivery], key: str | None) -> None:
        task = asyncio.get_running_loop().create_task(self._chain(line, key))
        self._tasks[task] = line
        # Not in the task: one that is cancelled before it begins runs none of its code.
        task.add_done_callback(lambda task: self._put_back(self._tasks.pop(task)))

    def _put_back(self, line: Sequence[Delivery]) -> None:
        """Let others have what a task leaves."""
        self._subscription.rewind(line, (HANDED, WAITING))

    async def _chain(self, line: deque[Delivery], key: str | None) -> None:
        """Handle, holding one slot, a delivery and all that queued behind it for its key."""
        try:
            while line:
                await self._handle(line, in_place=key is not None)
        finally:
            if key is not None:
                del self._busy[key]
            self._slots.release()

    async def _handle(self, line: deque[Delivery], *, in_place: bool) -> None:
        """Handle the first of a line, which stays in it until that has an end."""
        while True:
            current = line[0]
            problem = await self._call(current)
            if problem is None:
                break
            delay = self._retry.delay_after(current.failures + 1)
            if not in_place or self._retry.exhausted(current.failures + 1):
                self._subscription.nack(current, delay, problem)
                break
            # Others of the key must not overtake: keep the place, but not the slot, while waiting.
            line[0] = self._subscription.rest(current)
            self._slots.release()
            try:
                await self._pause(delay)
            finally:
                await self._slots.acquire()
            if self._subscription.closing:
                # Others retry it, and must have what queued behind it after it.
                waiting = tuple(line)
                line.clear()
                self._put_back(waiting)
                return
            if not self._subscription.hand_out(line[0]):
                break
        line.popleft()

    async def _pause(self, delay: float) -> None:
        """Wait so many seconds, or until the subscription begins to close."""
        try:
            async with asyncio.timeout(delay):
                await self._subscription.ending()
        except TimeoutError:
            pass

    async def _call(self, delivery: Delivery) -> str | None:
        """Run the handler; None when the delivery is settled or given back, else what went wrong."""
        if not self._subscription.holds(delivery):
            return None
        if delivery.lease.lost or delivery.lease.stopping:
            self._subscription.release(delivery)
            return None
        task = asyncio.current_task()
        self._at_work[task] = delivery
        try:
            await self._handler(delivery)
        except Reject as reject:
            delivery.reject(reject.reason)
        except (Exception, asyncio.CancelledError) as error:
            # Whatever a handler raises means: again. A cancellation too, if it is not meant for this task: what the
            # handler awaited was cancelled.
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            _log.warning(
                "%s: handler failed on message %s, attempt %d: %s: %s",
                delivery.topic, delivery.message.id, delivery.attempt, type(error).__name__, error,
                exc_info=_log.isEnabledFor(logging.DEBUG),
            )  # fmt: skip
            if self._subscription.holds(delivery):
                return f"{type(error).__name__}: {error}"
        else:
            if delivery.state == HANDED:
                delivery.ack()
        finally:
            del self._at_work[task]
        return None
