"""The running client: five loops over one ledger, a drain, and the final books."""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from hemline_api.topics import Topics
from hemline_broker import Broker
from hemline_client_sim._answers import Collector, Outcome
from hemline_client_sim._events import Ended, Resumed
from hemline_client_sim._images import ImageSender
from hemline_client_sim._labels import LabelSender
from hemline_client_sim._ledger import Ledger
from hemline_client_sim._options import Options
from hemline_client_sim._status import Status, make_status
from hemline_client_sim._stream import Stream

__all__ = ["Client"]

_log = logging.getLogger(__name__)
_TICK = 0.25
_SYNC_SECONDS = 1.0
_RATE_SECONDS = 5.0
_LAST_WORDS = 10.0


class Client:
    """One run against a broker.

    ``status`` is replaced as a whole several times a second, so that another thread may read it.
    """

    def __init__(
        self,
        broker: Broker,
        options: Options,
        ledger: Ledger,
        stream: Stream,
        *,
        on_answer: Callable[[Outcome], None] = lambda _: None,
        on_status: Callable[[Status], None] = lambda _: None,
    ) -> None:
        """Keep what running needs."""
        self._broker = broker
        self._options = options
        self._ledger = ledger
        self._stream = stream
        self._on_status = on_status
        self._topics = Topics(options.classifier, options.namespace)
        self._collector = Collector(ledger, self._topics.images, on_answer=on_answer)
        self._labels = LabelSender(broker, self._topics.labels, ledger)
        self._state = "starting"
        self._sent_history: deque[tuple[float, int]] = deque([(time.monotonic(), self._sent)])
        self.status = self._make_status()

    async def run(self, stop: asyncio.Event) -> Status:
        """Stream until a limit or ``stop``, drain, write the books file, return its content.

        Raises:
            BrokerError: the broker refuses for good.
        """
        topics = self._topics
        # A group has no dot; a run has no "-".
        group = f"client-sim-{self._ledger.header.run.replace('.', '-')}"
        await self._broker.ensure(topics.images)
        await self._broker.ensure(topics.labels)
        # The group must be there before the first image, or an early answer would be missed.
        await self._broker.ensure(topics.predictions, group, start="new")
        await self._broker.ensure(topics.dead, group, start="new")
        async with AsyncExitStack() as stack:
            answers = await stack.enter_async_context(
                self._broker.subscribe(topics.predictions, group=group, start="new")
            )
            dead = await stack.enter_async_context(
                self._broker.subscribe(topics.dead, group=group, start="new")
            )
            try:
                async with asyncio.TaskGroup() as tasks:
                    loops = [
                        tasks.create_task(self._collector.collect_answers(answers)),
                        tasks.create_task(self._collector.collect_dead_letters(dead)),
                        tasks.create_task(self._labels.run()),
                        tasks.create_task(self._tick()),
                        tasks.create_task(self._sync_journal()),
                    ]
                    await self._stream_and_drain(stop)
                    for loop in loops:
                        loop.cancel()
            except ExceptionGroup as group_of_errors:
                # The loops share one broker: what stopped the first of them is what happened.
                raise group_of_errors.exceptions[0] from group_of_errors
        return self._close_books()

    async def _stream_and_drain(self, stop: asyncio.Event) -> None:
        if self._options.resume:
            self._ledger.record(Resumed(time.time()))
        self._state = "streaming"
        sender = ImageSender(
            self._broker,
            self._topics.images,
            self._ledger,
            self._stream,
            self._options.schedule,
            self._options.phases,
            self._options.limits,
            on_sent=self._labels.schedule,
        )
        reason = await sender.run(stop)
        self._ledger.record(Ended(time.time(), reason))
        self._state = "draining"
        _log.info("the stream has ended (%s); waiting for answers and labels", reason)
        if not await self._settled_within(self._options.limits.drain):
            self._labels.hurry()
            await self._settled_within(_LAST_WORDS)

    async def _settled_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not self._ledger.books.settled:
                    self._ledger.changed.clear()
                    await self._ledger.changed.wait()
        except TimeoutError:
            return False
        return True

    async def _tick(self) -> None:
        while True:
            self.status = self._make_status()
            self._on_status(self.status)
            await asyncio.sleep(_TICK)

    async def _sync_journal(self) -> None:
        while True:
            await asyncio.sleep(_SYNC_SECONDS)
            # On a thread: a slow disk must not hold up the stream.
            await asyncio.to_thread(self._ledger.journal.sync)

    def _close_books(self) -> Status:
        self._state = "done"
        twice = self._ledger.counted_twice()
        status = self._make_status().model_copy(
            update={
                "counted_twice": twice,
                "problems": list(self._ledger.books.problems(counted_twice=twice)),
            }
        )
        self.status = status
        self._on_status(status)
        _write_atomically(self._options.books, status.model_dump_json(indent=1).encode() + b"\n")
        return status

    @property
    def _sent(self) -> int:
        return self._ledger.books.counts.sent + self._ledger.books.counts.corrupt

    def _rate(self) -> float:
        now = time.monotonic()
        self._sent_history.append((now, self._sent))
        while len(self._sent_history) > 2 and self._sent_history[1][0] < now - _RATE_SECONDS:
            self._sent_history.popleft()
        then, sent = self._sent_history[0]
        return (self._sent - sent) / (now - then) if now > then else 0.0

    def _make_status(self) -> Status:
        header = self._ledger.header
        schedule = self._options.schedule
        return make_status(
            self._ledger.books,
            self._options.phases,
            run=header.run,
            classifier=header.classifier,
            seed=header.seed,
            state=self._state,
            now=time.time(),
            planned_rate=1.0 / schedule.mean_gap,
            rate=self._rate(),
            label_delay=schedule.mean_label_delay,
        )


def _write_atomically(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    scratch.write_bytes(data)
    scratch.replace(path)
