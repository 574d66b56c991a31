"""The sender of images: one after the other at its time, several at once where the beat is faster than the broker."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from hemline_api.events import IMAGE_TYPE
from hemline_broker import Broker, Message
from hemline_client_sim._delivery import deliver
from hemline_client_sim._events import Planned, Sent
from hemline_client_sim._ids import image_id
from hemline_client_sim._ledger import Ledger
from hemline_client_sim._options import Limits
from hemline_client_sim._phases import Phases
from hemline_client_sim._schedule import Schedule
from hemline_client_sim._stream import Stream

__all__ = ["SOURCE", "ImageSender"]

SOURCE = "hemline-client-sim"
_MOST_AT_ONCE = 256
_LATEST = 1.0


class ImageSender:
    """Sends the stream.

    Args:
        broker: connected.
        topic: of images.
        ledger: where it is written down.
        stream: the images.
        schedule: the beat. Where sending falls more than a second behind it, the beat starts afresh: a burst after
            an outage would be no stream.
        phases: the drifts.
        limits: when to end.
        on_sent: called with the plans of images that have become durable.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        ledger: Ledger,
        stream: Stream,
        schedule: Schedule,
        phases: Phases,
        limits: Limits,
        *,
        on_sent: Callable[[Sequence[Planned]], None],
    ) -> None:
        """Keep what sending needs."""
        self._broker = broker
        self._topic = topic
        self._ledger = ledger
        self._stream = stream
        self._schedule = schedule
        self._phases = phases
        self._limits = limits
        self._on_sent = on_sent

    async def run(self, stop: asyncio.Event) -> str:
        """Send until a limit is reached or ``stop`` is set; return why it ended.

        Raises:
            BrokerError: the broker refuses for good.
        """
        books = self._ledger.books
        # Of these nobody knows whether the broker has them: under the same id a second copy does no harm.
        await self._send([self._plan(plan.n, plan.phase) for plan in books.unsent()], stop)
        due = time.monotonic()
        while True:
            first = books.next_n
            if self._limits.count is not None and first >= self._limits.count:
                return "count"
            due = max(due, time.monotonic() - _LATEST) + self._schedule.gap(first)
            reason = await self._wait_until(due, stop)
            if reason is not None:
                return reason
            numbers = [first]
            while len(numbers) < _MOST_AT_ONCE and not self._reached(first + len(numbers)):
                later = due + self._schedule.gap(first + len(numbers))
                if later > time.monotonic():
                    break
                due = later
                numbers.append(first + len(numbers))
            await self._send([self._plan(n) for n in numbers], stop)

    def _reached(self, n: int) -> bool:
        return self._limits.count is not None and n >= self._limits.count

    async def _wait_until(self, due: float, stop: asyncio.Event) -> str | None:
        wait = due - time.monotonic()
        if self._limits.duration is not None:
            left = self._ledger.header.started + self._limits.duration - time.time()
            if left <= 0 or (left < wait and not await _is_set_within(stop, left)):
                return "duration"
            if stop.is_set():
                return "signal"
        return "signal" if await _is_set_within(stop, wait) else None

    def _plan(self, n: int, phase_number: int | None = None) -> Planned:
        now = time.time()
        phase = (
            self._phases.at(now - self._ledger.header.started)
            if phase_number is None
            else self._phases.items[phase_number]
        )
        picture = self._stream.picture(n, phase)
        return Planned(
            n=n,
            at=now,
            index=picture.index,
            label=picture.label,
            told=picture.told,
            phase=phase.number,
            corrupt=picture.corrupt,
            label_at=now + self._schedule.delay(n),
        )

    async def _send(self, plans: Sequence[Planned], stop: asyncio.Event) -> None:
        if not plans:
            return
        self._ledger.record(*plans)

        def on_durable(places: Sequence[int]) -> None:
            sent = [plans[place] for place in places]
            self._ledger.record(*(Sent(plan.n) for plan in sent))
            self._on_sent(sent)

        sending = asyncio.ensure_future(
            deliver(self._broker, self._topic, [self._message(plan) for plan in plans], on_durable)
        )
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((sending, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                # The broker is away: what is on its way may still arrive, within reason.
                await asyncio.wait((sending,), timeout=self._limits.drain)
            if sending.done():
                sending.result()
        finally:
            for task in (sending, stopping):
                task.cancel()
            await asyncio.gather(sending, stopping, return_exceptions=True)

    def _message(self, plan: Planned) -> Message:
        identity = image_id(self._ledger.header.run, plan.index, plan.n)
        phase = self._phases.items[plan.phase]
        return Message(
            data=self._stream.encode(plan.n, plan.index, phase, corrupt=plan.corrupt),
            key=identity,
            id=identity,
            type=IMAGE_TYPE,
            source=SOURCE,
            time=datetime.fromtimestamp(plan.at, UTC),
            content_type=self._stream.content_type,
        )


async def _is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    if seconds > 0 and not stop.is_set():
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            return False
    elif not stop.is_set():
        # Nothing to wait for, yet everyone else gets a turn.
        await asyncio.sleep(0)
    return stop.is_set()
