"""One consumer of a group: iteration, batches, retries, dead letters, back-pressure, an orderly end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from typing import Literal, Self

from hemline_broker._claimsink import ClaimSink
from hemline_broker._deadletter import Undertaker
from hemline_broker._delivery import ENLISTED, HANDED, SETTLED, WAITING, Batch, Delivery
from hemline_broker._driver import Driver, Remembers, Source, Start
from hemline_broker._errors import AckLost, BrokerError, Closed, InvalidOption
from hemline_broker._inhand import InHand
from hemline_broker._line import Limits, Line, Space, size_of
from hemline_broker._observer import Observer, watch_lag
from hemline_broker._parked import Parked
from hemline_broker._remains import Remains
from hemline_broker._run import Run
from hemline_broker._runner import Runner

_log = logging.getLogger(__name__)

_NOT_ENTERED = "the subscription was never entered: use `async with broker.subscribe(...)`"


class Subscription:
    """Made by `Broker.subscribe`; an async context manager. Use it on the event loop it was entered on.

    Leaving the context closes it with `drain=0`: acks are made durable, everything else comes again at once. Call
    `close(drain)` first to give handlers time to finish.
    """

    def __init__(
        self,
        driver: Driver,
        topic: str,
        group: str,
        start: Start,
        limits: Limits,
        observer: Observer,
        forget: Callable[[Subscription], None],
    ) -> None:
        self.topic = topic
        self.group = group
        self._driver = driver
        self._start = start
        self._limits = limits
        self._observer = observer
        self._forget = forget
        self._undertaker = Undertaker(driver, limits.dead_letter, observer)
        self._source: Source | None = None
        self._remember: Callable[[Delivery], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = Line(self._account)
        self._news = asyncio.Event()
        self._in_hand = InHand()
        self._parked = Parked(limits.in_flight, self._account, self._unpark)
        self._remains = Remains()
        self._space = Space(limits.in_flight, limits.in_flight_bytes)
        self._lag_task: asyncio.Task[None] | None = None
        self._error: BrokerError | None = None
        self._filling = False
        self._closing = False
        self._ending = asyncio.Event()
        self._given_back = False
        self._closed = asyncio.Event()

    # --- what users call -------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._loop is not None or self._closing:
            raise Closed("a subscription is entered once; call subscribe again")
        self._loop = asyncio.get_running_loop()
        try:
            await self._join()
        except BaseException:
            # Nobody can enter it any more: a service that tries again and again must not gather them.
            await self.close(0.0)
            raise
        if type(self._observer).lag is not Observer.lag:
            self._lag_task = self._loop.create_task(
                watch_lag(self._observer, self.topic, self.group, self.lag)
            )
        return self

    async def _join(self) -> None:
        if self._limits.dead_letter is not None:
            await self._undertaker.check()
        limits = (self._limits.in_flight, self._limits.in_flight_bytes)
        source = await self._driver.subscribe(
            self.topic, self.group, self._start, ClaimSink.around(self, self._driver), limits
        )
        if self._closing:
            await source.close(())
            raise Closed("the subscription was closed while it was being entered")
        if isinstance(source, Remembers):
            self._remember = source.remember
        self._source = source

    async def __aexit__(self, *_: object) -> None:
        await self.close(drain=0.0)

    async def __aiter__(self) -> AsyncIterator[Delivery]:
        while await self._some():
            while (delivery := self._ready.take_one()) is not None:
                self._hand((delivery,))
                yield delivery

    async def batches(
        self, max_size: int = 256, *, max_bytes: int | None = None, wait: float = 0.0
    ) -> AsyncIterator[Batch]:
        """What waits now, as one batch: one message when idle, up to `max_size` under load.

        Args:
            max_size: messages a batch holds at most; more than `in_flight` never come.
            max_bytes: bytes of bodies a batch holds at most, but always one message.
            wait: seconds to wait for a batch to fill after its first message has come.
        """
        if max_size < 1:
            raise InvalidOption(f"max_size must be at least 1, got {max_size}")
        while await self._some():
            if wait > 0:
                await self._fill(min(max_size, self._limits.in_flight), wait)
            taken = self._ready.take(max_size, max_bytes)
            if taken:
                self._hand(taken)
                yield Batch(taken, self)

    async def run(
        self,
        handler: Callable[[Delivery], Awaitable[None]],
        *,
        concurrency: int = 16,
        order: Literal["key", "none"] = "key",
    ) -> None:
        """Call `handler` for each delivery until the subscription is closed.

        When it returns, the delivery is acknowledged unless the handler settled it. When it raises `Reject`, the
        message goes to the dead-letter topic; when it raises anything else, it is delivered again after the delay
        of `Retry`. With `order="key"`, messages of one key are handled one after the other, retries included,
        while other keys go on; messages without a key are always independent. Handlers that outlast `close(drain)`,
        so that others get their messages, are cancelled; so are all when `run` is, and what they had in hand comes
        first, to whoever reads next.
        """
        await Runner(self, handler, self._limits.retry, concurrency, order == "key").run()

    async def settled(self) -> None:
        """Return when all acks and rejects so far are durable: none of those messages is delivered again.

        On Kafka, which knows one position per partition, that holds for an ack once everything before it in its
        partition is acknowledged or rejected, too; `settled` does not wait for that. Until then a crash, or a
        consumer that takes the partition over, repeats it.

        Raises:
            AckLost: some came after the message was given to another consumer; each is reported once.
        """
        source = self.joined()
        await self._undertaker.finish()
        lost = await source.settle()
        if lost:
            raise AckLost(lost)

    async def lag(self) -> int:
        """Messages of the group not yet acknowledged, those in flight included."""
        return await self.joined().lag()

    async def close(self, drain: float = 30.0) -> None:
        """End iteration, wait up to `drain` seconds for what is handed out, give back the rest, leave the group.

        Safe to call twice and from several tasks.
        """
        if self._closing:
            await self._closed.wait()
            return
        self._closing = True
        try:
            await self._end(drain)
        finally:
            self._closed.set()
            self._forget(self)

    @property
    def closing(self) -> bool:
        """Whether nothing more is handed out."""
        return self._closing

    async def ending(self) -> None:
        """Return when the subscription begins to close."""
        await self._ending.wait()

    async def ended(self) -> None:
        """Return when the subscription is closed, and what was not settled given back."""
        await self._closed.wait()

    async def _end(self, drain: float) -> None:
        waiting = (*self._ready, *self._parked)
        self._remains.leave(each for each in waiting if isinstance(each, Delivery))
        self._ready.drop()
        self._news.set()
        self._ending.set()
        self._parked.drop()
        try:
            if drain > 0:
                await self._drained(drain)
        finally:
            # Also when the close is cancelled: nobody can close it again, and others wait for what it holds.
            await self._leave()

    async def _leave(self) -> None:
        self._given_back = True
        # What it is at work on is still in hand, and given back with the rest.
        await self._undertaker.cut_off()
        if self._lag_task is not None:
            self._lag_task.cancel()
            await asyncio.wait((self._lag_task,))
        if self._source is not None:
            for run in list(self._in_hand.runs):
                self.open(run)
            lost = await self._source.close(self._remains.unsettled(self._in_hand.deliveries))
            if lost:
                _log.warning("%s", AckLost(lost))

    async def _drained(self, drain: float) -> None:
        try:
            async with asyncio.timeout(drain):
                await self._in_hand.empty()
                await self._undertaker.finish()
        except TimeoutError:
            _log.warning(
                "%s: %d deliveries were not settled within %g s; they come again",
                self.topic, len(self._in_hand.deliveries), drain,
            )  # fmt: skip

    # --- what deliveries call (Owner) ------------------------------------------------------------------------

    def settle(self, deliveries: Sequence[Delivery | Run]) -> None:
        """Acknowledge what of these is handed out."""
        now: list[Delivery] = []
        for each in deliveries:
            if isinstance(each, Delivery):
                if each.state == HANDED:
                    now.append(each)
            elif each.opened:
                now += [delivery for delivery in each.deliveries() if delivery.state == HANDED]
            elif each.state == HANDED:
                self._settle_run(each)
        if not now:
            return
        for delivery in now:
            delivery.state = SETTLED
        if not self._closed.is_set():
            self.joined().ack(now)
        self._return(now)
        self._observer.acked(self.topic, len(now))

    def _settle_run(self, run: Run) -> None:
        run.state = SETTLED
        if not self._closed.is_set():
            self.joined().ack_run(run)
        self._in_hand.leave_run(run)
        self._account(len(run), run.cost)
        self._observer.acked(self.topic, len(run))

    def open(self, run: Run) -> Sequence[Delivery]:
        """Let the deliveries of a run go their own ways."""
        return self._in_hand.open(run)

    def nack(self, delivery: Delivery, delay: float, reason: str = "not acknowledged") -> None:
        """Deliver again after `delay` seconds, or dead-letter."""
        if not self.holds(delivery):
            return
        if self._limits.retry.exhausted(delivery.failures + 1):
            delivery.failures += 1
            self._bury(
                delivery, "retries", f"given up after {delivery.failures} failures: {reason}"
            )
            return
        again = self.again(delivery)
        if self._closing:
            self._remains.leave((again,))
            return
        if delay <= 0:
            self._arrive((again,))
            return
        self._parked.park(again, delay)

    def reject(self, delivery: Delivery, reason: str) -> None:
        """Dead-letter now."""
        if self.holds(delivery):
            self._bury(delivery, "rejected", reason)

    def extend(self, delivery: Delivery, seconds: float) -> None:
        """Pass the wish on."""
        if delivery.state == HANDED:
            self.joined().extend(delivery, seconds)

    def holds(self, delivery: Delivery) -> bool:
        """Whether it is handed out, and was not given back by a close: from then on it is another consumer's."""
        return delivery.state == HANDED and not self._given_back

    def again(self, delivery: Delivery, *, failed: bool = True) -> Delivery:
        """The next attempt of a delivery, still counted as outstanding; the old handle no longer does anything."""
        delivery.state = SETTLED
        self._in_hand.leave((delivery,))
        again = delivery.following(failed=failed)
        if self._remember is not None:
            self._remember(again)
        return again

    def rest(self, delivery: Delivery) -> Delivery:
        """The next attempt of one that failed, to be handed out by who asked for it (`hand_out`)."""
        again = self.again(delivery)
        self._remains.resting.add(again)
        return again

    def settle_enlisted(self, deliveries: Sequence[Delivery]) -> None:
        """A transaction has acknowledged these."""
        for delivery in deliveries:
            delivery.state = SETTLED
        self._return(deliveries)
        if deliveries:
            self._observer.acked(self.topic, len(deliveries))

    def rewind(self, deliveries: Iterable[Delivery], states: Collection[int] = (ENLISTED,)) -> None:
        """Deliver again, before all that waits and in the same order, what of these is in one of these states.

        That is no failure of the messages: what can never be processed is for the handler to reject.
        """
        again = [
            each if each.state == WAITING else self.again(each, failed=False)
            for each in deliveries
            if each.state in states
        ]
        self._remains.resting.difference_update(again)
        if self._closing:
            self._remains.leave(again)
            return
        self._ready.put_first(reversed(again))
        self._news.set()

    def release(self, delivery: Delivery) -> None:
        """Forget a delivery that its lease no longer covers; it comes again elsewhere."""
        if delivery.state == HANDED:
            delivery.state = SETTLED
            self._return((delivery,))

    def hand_out(self, delivery: Delivery) -> bool:
        """Mark a next attempt as handed out; False when its lease is gone or the subscription is closing."""
        if self._closing:
            return False
        self._remains.resting.discard(delivery)
        if delivery.lease.lost or delivery.lease.stopping:
            self._account(1, size_of(delivery))
            return False
        self._hand((delivery,))
        return True

    # --- what the source calls (Sink), from any thread -------------------------------------------------------

    def room(self) -> tuple[int, int]:
        """Messages and bytes that may come."""
        return (0, 0) if self._closing else self._space.left()

    def idle(self) -> bool:
        """Whether nothing waits to be handed out, or the reader waits for more than that."""
        return self._filling or not (self._ready or self._space.under_way)

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Take what arrived."""
        self._space.arrive(len(deliveries), sum(map(size_of, deliveries)))
        self._call(self._land, deliveries, len(deliveries))

    def put_run(self, run: Run) -> None:
        """Take a run that arrived."""
        self._space.arrive(len(run), run.cost)
        self._call(self._land, (run,), len(run))

    def refuse(self, delivery: Delivery, kind: str, reason: str) -> None:
        """Dead-letter what cannot be handed out."""
        self._space.arrive(1, size_of(delivery))
        self._space.land(1)
        if not self._closing:
            self._hand((delivery,))
            self._bury(delivery, kind, reason)

    def fail(self, error: BrokerError) -> None:
        """End with an error."""
        self._call(self._break, error)

    # --- inside ----------------------------------------------------------------------------------------------

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop_now().call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop ended without closing the subscription: nobody is left to tell.
            self._closing = True

    def _loop_now(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise Closed(_NOT_ENTERED)
        return self._loop

    def joined(self) -> Source:
        """The source, once the subscription was entered."""
        if self._source is None:
            raise Closed(_NOT_ENTERED)
        return self._source

    def _land(self, deliveries: Sequence[Delivery | Run], count: int) -> None:
        self._space.land(count)
        self._arrive(deliveries)

    def _arrive(self, deliveries: Sequence[Delivery | Run]) -> None:
        if self._closing:
            return
        self._ready.extend(deliveries)
        self._news.set()

    def _break(self, error: BrokerError) -> None:
        if self._error is None:
            self._error = error
        self._news.set()

    def _unpark(self, delivery: Delivery) -> None:
        self._arrive((delivery,))

    def _bury(self, delivery: Delivery, kind: str, reason: str) -> None:
        delivery.state = SETTLED
        self._undertaker.take(delivery, kind, reason, self._buried)

    def _buried(self, delivery: Delivery, done: bool) -> None:
        if done:
            self.joined().ack((delivery,))
        self._return((delivery,))

    def _account(self, count: int, size: int) -> None:
        self._space.settle(count, size)
        if count > 0 and self._source is not None:
            self._source.wake()

    def _return(self, deliveries: Sequence[Delivery]) -> None:
        self._in_hand.leave(deliveries)
        self._account(len(deliveries), sum(map(size_of, deliveries)))

    def _hand(self, taken: Sequence[Delivery | Run]) -> None:
        count, size, again = self._in_hand.take(taken)
        if not self._ready and self._source is not None:
            self._source.wake()
        self._observer.received(self.topic, count, size)
        if again:
            self._observer.redelivered(self.topic, again)

    async def _some(self) -> bool:
        """Wait until something may be taken; False at the end."""
        while not self._ready:
            if self._closing:
                return False
            if self._error is not None:
                raise self._error
            self._loop_now()
            self._news.clear()
            await self._news.wait()
        return not self._closing

    async def _fill(self, wanted: int, wait: float) -> None:
        self._filling = True
        self.joined().wake()
        try:
            async with asyncio.timeout(wait):
                while self._ready.messages() < wanted and not self._closing and self._error is None:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self._filling = False
