"""The frame of a consumer that is owned by one thread: commands reach it by a queue, answers go back to the loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence

from hemline_broker._delivery import Delivery
from hemline_broker._driver import Sink
from hemline_broker._errors import BrokerError, Closed
from hemline_broker._run import Run

_log = logging.getLogger(__name__)


class ConsumerThread(ABC):
    """Most of a `hemline_broker._driver.Source`; a driver adds what its thread does.

    The thread runs `_consume`, which calls `_serve_calls` often and returns when `_stopping` is set.
    """

    def __init__(self, name: str, sink: Sink) -> None:
        self._name = name
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Event()
        self._acks: deque[Sequence[Delivery] | Run] = deque()
        # The thread adds at one end while the event loop takes from the other: each step of a deque is atomic, while
        # with a list to be swapped, what is added during the swap would be told twice or not at all.
        self._lost: deque[str] = deque()
        self._stopping = False
        self._ended = False
        self._calls: deque[tuple[Callable[[], object], asyncio.Future[object]]] = deque()
        self._thread = threading.Thread(target=self._run, name=f"consumer {name}", daemon=True)

    # --- what a driver adds, on the thread -------------------------------------------------------------------

    @abstractmethod
    def _consume(self) -> None:
        """Consume until `_stopping` is set."""

    @abstractmethod
    def _store_acks(self) -> None:
        """Make every ack so far durable now."""

    @abstractmethod
    def _leave(self, unsettled: Sequence[tuple[Delivery, int]]) -> None:
        """The last thing before the end: make acks durable, give back the rest."""

    @abstractmethod
    def _translate(self, error: Exception) -> BrokerError | None:
        """The client's own error as ours, None for an error that should not happen."""

    # --- Source, on the event loop ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; raises what the thread meets at its start. If it is cancelled, the thread has ended with it."""
        self._thread.start()
        try:
            await self._call(lambda: None)
        except asyncio.CancelledError:
            await self._end()
            raise

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Leave it to the thread, which looks often."""
        self._acks.append(deliveries)

    def ack_run(self, run: Run) -> None:
        """Leave it to the thread."""
        self._acks.append(run)

    async def settle(self) -> Sequence[str]:
        """Make acks durable now; the ids of those that came too late."""
        await self._call(self._store_acks)
        return self._take_lost()

    def extend(self, delivery: Delivery, seconds: float) -> None:  # noqa: B027 - for all drivers so far
        """Nothing to do where messages are kept as long as the consumer lives."""

    async def close(self, unsettled: Sequence[tuple[Delivery, int]]) -> Sequence[str]:
        """End the thread in good order."""
        if self._thread.ident is None or self._ended:
            return self._take_lost()
        try:
            await self._call(lambda: self._leave(unsettled))
        finally:
            await self._end()
        return self._take_lost()

    async def _end(self) -> None:
        """Return when the thread has ended."""
        self._stopping = True
        self._wake.set()
        await asyncio.to_thread(self._thread.join)

    def _take_lost(self) -> Sequence[str]:
        """The ids, not told yet, of acks that came too late."""
        taken = []
        while self._lost:
            taken.append(self._lost.popleft())
        return taken

    def _call(self, function: Callable[[], object]) -> asyncio.Future[object]:
        """Run something on the thread."""
        future: asyncio.Future[object] = self._loop.create_future()
        self._calls.append((function, future))
        self._wake.set()
        if self._ended:
            self._refuse_calls(Closed("the consumer has ended"))
        return future

    # --- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: BrokerError = Closed("the consumer has ended")
        try:
            self._consume()
        except Exception as problem:  # noqa: BLE001 - the end of a thread is where the reader must be told
            error = self._as_ours(problem)
        self._ended = True
        if not isinstance(error, Closed):
            self._sink.fail(error)
        self._refuse_calls(error)

    def _serve_calls(self) -> None:
        """Run what the event loop asked for."""
        while self._calls:
            function, future = self._calls.popleft()
            error: BrokerError | None = None
            try:
                function()
            except Exception as problem:  # noqa: BLE001 - whoever waits must be told
                error = self._as_ours(problem)
            self._resolve(future, error)

    def _as_ours(self, problem: Exception) -> BrokerError:
        if isinstance(problem, BrokerError):
            return problem
        error = self._translate(problem)
        if error is None:
            _log.error("%s: the consumer failed", self._name, exc_info=problem)
            error = BrokerError(f"cannot consume: {type(problem).__name__}: {problem}")
        return error

    def _refuse_calls(self, error: BrokerError) -> None:
        while self._calls:
            try:
                _, future = self._calls.popleft()
            except IndexError:  # the other side was faster
                return
            self._resolve(future, error)

    def _resolve(self, future: asyncio.Future[object], error: BrokerError | None) -> None:
        def resolve() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(resolve)
        except RuntimeError:  # the loop has ended: nobody is left to ask for anything
            self._stopping = True
