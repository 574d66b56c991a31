"""Between a source and its subscription: messages that stand for a body elsewhere are completed on their way.

Order is kept: what comes after such a message waits until its body is there, while the next few are fetched already.
References are small, so a source may hand over many; bodies are fetched only as far as the subscription has room.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from hemline_broker._delivery import OVERHEAD_BYTES, Delivery
from hemline_broker._driver import Claims, Driver, Remembers, Sink, Source
from hemline_broker._errors import BodyGone, BrokerError, InvalidOption
from hemline_broker._message import CLAIM_FIELDS, Message
from hemline_broker._run import Run

if TYPE_CHECKING:
    from hemline_broker._claimstore import ClaimStore, Reference

_log = logging.getLogger(__name__)

REF = "dataref"
SHA256, SIZE = CLAIM_FIELDS
_AHEAD = 4
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0


def refers(message: Message) -> bool:
    """Whether the body lies elsewhere, put there by this library."""
    extensions = message.extensions
    return bool(extensions) and SHA256 in extensions and REF in extensions


class ClaimSink:
    """A sink in front of a subscription; without a store it refuses what it would have to fetch."""

    def __init__(self, sink: Sink, store: ClaimStore | None) -> None:
        self._sink = sink
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Delivery | Run] = deque()
        self._window: deque[tuple[Delivery | Run, asyncio.Task[BodyGone | None] | None, int]] = (
            deque()
        )
        self._news = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        # As in the subscription: one counter for each thread. While they differ the source's thread delivers nothing
        # past the queue, and only then does the loop deliver: never both at once.
        self._came = 0
        self._went = 0
        # What deliveries call goes straight to their owner.
        self.settle = sink.settle
        self.open = sink.open
        self.nack = sink.nack
        self.reject = sink.reject
        self.extend = sink.extend
        self.refuse = sink.refuse
        self.fail = sink.fail

    @staticmethod
    def around(sink: Sink, driver: Driver) -> Sink:
        """What a subscription gives to its driver: a guard, unless the driver completes messages itself."""
        return sink if isinstance(driver, Claims) else ClaimSink(sink, None)

    # --- what the source calls, from any thread --------------------------------------------------------------

    def room(self) -> tuple[int, int]:
        """The subscription's, less what waits here."""
        count, size = self._sink.room()
        count -= self._came - self._went
        return (count, size) if count > 0 else (0, 0)

    def idle(self) -> bool:
        """Whether nothing waits here or there."""
        return self._came == self._went and self._sink.idle()

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Pass on, or queue behind what is being fetched."""
        if self._came != self._went or any(refers(each.message) for each in deliveries):
            self._hold(deliveries, len(deliveries))
        else:
            self._sink.put(deliveries)

    def put_run(self, run: Run) -> None:
        """The same; a run in which no body is empty holds no reference and is not looked into."""
        if 0 in run.sizes and any(map(refers, run.messages)):
            self.put(run.deliveries())
        elif self._came != self._went:
            self._hold((run,), len(run))
        else:
            self._sink.put_run(run)

    def _hold(self, items: Sequence[Delivery | Run], count: int) -> None:
        if self._store is None:
            self._sink.fail(
                InvalidOption(
                    "a message has its body in an object store: connect with claim_check=… as its sender did"
                )
            )
            return
        self._came += count
        try:
            self._loop.call_soon_threadsafe(self._enqueue, items)
        except RuntimeError:
            return  # the loop has ended: nobody is left to read

    # --- on the event loop -----------------------------------------------------------------------------------

    def stir(self) -> None:
        """There may be room again."""
        self._news.set()

    async def close(self) -> None:
        """Fetch no more."""
        tasks: list[asyncio.Task[None] | asyncio.Task[BodyGone | None]] = [
            task for _, task, _ in self._window if task is not None
        ]
        if self._worker is not None:
            tasks.append(self._worker)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _enqueue(self, items: Iterable[Delivery | Run]) -> None:
        self._queue.extend(items)
        self._news.set()
        if self._worker is None:
            self._worker = self._loop.create_task(self._work())

    async def _work(self) -> None:
        while True:
            self._news.clear()
            self._look_ahead()
            if not self._window:
                await self._news.wait()
                continue
            item, task, _ = self._window[0]
            problem = await task if task is not None else None
            self._window.popleft()
            self._pass_on(item, problem)

    def _look_ahead(self) -> None:
        """Begin to fetch what there is room for."""
        count, size = self._sink.room()
        size -= sum(cost for _, _, cost in self._window)
        count -= len(self._window)
        while self._queue and len(self._window) < _AHEAD and count > 0 and size > 0:
            item = self._queue.popleft()
            task = None
            cost = item.cost if isinstance(item, Run) else len(item.message.data) + OVERHEAD_BYTES
            if isinstance(item, Delivery) and refers(item.message):
                task = self._loop.create_task(self._fetch(item))
                cost += _size(item.message)
            self._window.append((item, task, cost))
            size -= cost
            count -= 1

    def _pass_on(self, item: Delivery | Run, problem: BodyGone | None) -> None:
        if isinstance(item, Run):
            self._sink.put_run(item)
            self._went += len(item)
            return
        if problem is not None:
            # Whoever reads the dead letter gets it as it is: without the checksum nobody follows the reference.
            extensions = {
                name: value for name, value in item.message.extensions.items() if name != SHA256
            }
            item.message = item.message.replace(extensions=extensions)
            self._sink.refuse(item, "body-gone", f"{type(problem).__name__}: {problem}")
        elif not item.lease.lost:
            self._sink.put((item,))
        self._went += 1

    async def _fetch(self, delivery: Delivery) -> BodyGone | None:
        """Put the body into the message, or say why there is none; tried again as long as the lease holds."""
        pause = _FIRST_PAUSE_S
        message = delivery.message
        while not delivery.lease.lost and self._store is not None:
            try:
                data = await self._store.get(_reference(message))
            except BodyGone as error:
                return error
            except BrokerError as error:
                _log.error(
                    "%s: the body of message %s cannot be read, trying again in %.1f s: %s",
                    delivery.topic, message.id, pause, error,
                )  # fmt: skip
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                extensions = {
                    name: value
                    for name, value in message.extensions.items()
                    if name not in (REF, SHA256, SIZE)
                }
                delivery.message = message.replace(data=data, extensions=extensions)
                break
        return None


class ClaimSource:
    """The source behind a `ClaimSink`."""

    def __init__(self, inner: Source, sink: ClaimSink) -> None:
        self.inner = inner
        self._sink = sink
        self.ack = inner.ack
        self.ack_run = inner.ack_run
        self.settle = inner.settle
        self.extend = inner.extend
        self.lag = inner.lag
        if isinstance(inner, Remembers):
            self.remember = inner.remember

    def wake(self) -> None:
        """Fetch on, and ask for more."""
        self._sink.stir()
        self.inner.wake()

    async def close(self, unsettled: Sequence[tuple[Delivery, int]]) -> Sequence[str]:
        """Fetch no more, then as the source."""
        await self._sink.close()
        return await self.inner.close(unsettled)


def _reference(message: Message) -> Reference:
    from hemline_broker._claimstore import Reference

    return Reference(message.extensions[REF], message.extensions[SHA256], _size(message))


def _size(message: Message) -> int:
    text = message.extensions.get(SIZE, "")
    return int(text) if text.isdecimal() and len(text) < 16 else 0
