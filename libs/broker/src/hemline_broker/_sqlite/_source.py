"""One consumer: a thread that claims, writes acks in groups, and takes over from the dead."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing

from hemline_broker._delivery import Delivery
from hemline_broker._driver import Sink
from hemline_broker._errors import BrokerError, Closed, Unavailable
from hemline_broker._sqlite import _liveness
from hemline_broker._sqlite._claims import Claim
from hemline_broker._sqlite._database import as_broker_error, open_database, transaction
from hemline_broker._sqlite._group import Group
from hemline_broker._sqlite._settings import Settings

_log = logging.getLogger(__name__)

_ACKS_EVERY_S = 0.02
_LOOK_FOR_DEAD_EVERY_S = 0.2
_AT_ONCE = 2048


class SqliteSource:
    """See `hemline_broker._driver.Source`."""

    def __init__(
        self, settings: Settings, topic: str, topic_id: int, group_id: int, sink: Sink, limit: int
    ) -> None:
        self._settings = settings
        self._topic = topic
        self._ids = (topic_id, group_id)
        self._sink = sink
        # Claiming in fewer, larger steps saves transactions; see `_wanted`.
        self._worthwhile = max(1, limit // 4)
        self._me = uuid.uuid4().hex
        self._loop = asyncio.get_running_loop()
        self._wake = threading.Event()
        self._acks: deque[Sequence[Delivery]] = deque()
        self._calls: deque[tuple[Callable[[], object], asyncio.Future[object]]] = deque()
        self._claims: dict[int, Claim] = {}
        self._dirty: set[Claim] = set()
        self._unstored: list[Sequence[Delivery]] = []
        self._lost: list[str] = []
        self._version = -1
        self._unread = True
        self._stored_at = self._signed_at = self._looked_at = 0.0
        self._stopping = False
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"sqlite {topic}", daemon=True)

    # --- Source, on the event loop ---------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin; raises what opening the database raises."""
        self._thread.start()
        await self._call(lambda: None)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Leave it to the thread, which looks often enough."""
        self._acks.append(deliveries)

    def wake(self) -> None:
        """The thread looks often enough."""

    async def settle(self) -> Sequence[str]:
        """Write all acks now."""
        await self._call(self._store_all)
        lost, self._lost = self._lost, []
        return lost

    def extend(self, delivery: Delivery, seconds: float) -> None:
        """A claim lives as long as its consumer."""

    async def lag(self) -> int:
        """Ask the database."""
        answer: list[int] = []
        await self._call(lambda: answer.append(self._group.lag()))
        return answer[0]

    async def close(self, unsettled: Sequence[tuple[Delivery, int]]) -> Sequence[str]:
        """Write acks, release claims, end the thread."""
        if not self._thread.is_alive():
            return ()
        try:
            await self._call(lambda: self._leave(unsettled))
        finally:
            self._stopping = True
            self._wake.set()
            await asyncio.to_thread(self._thread.join)
        return self._lost

    def _call(self, function: Callable[[], object]) -> asyncio.Future[object]:
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
        except sqlite3.Error as problem:
            error = as_broker_error(problem, "consume")
        except OSError as problem:
            error = Unavailable(f"cannot consume: {problem}")
        except BrokerError as problem:
            error = problem
        except Exception as problem:  # noqa: BLE001 - the end of a thread is where the reader must be told
            _log.exception("%s: the consumer ends", self._topic)
            error = BrokerError(f"cannot consume: {type(problem).__name__}: {problem}")
        self._ended = True
        if not self._stopping:
            self._sink.fail(error)
        self._refuse_calls(error)

    def _consume(self) -> None:
        with closing(open_database(self._settings)) as connection:
            life = _liveness.Life(self._settings.beside, self._me)
            try:
                self._db = connection
                self._group = Group(connection, self._topic, *self._ids, self._me)
                while not self._stopping:
                    self._turn()
            finally:
                life.end()

    def _turn(self) -> None:
        self._wake.wait(self._settings.poll_s)
        self._wake.clear()
        while self._calls:
            function, future = self._calls.popleft()
            error: Exception | None = None
            try:
                function()
            except sqlite3.Error as problem:
                error = as_broker_error(problem, "write acknowledgements")
            except Exception as problem:
                self._resolve(future, BrokerError(f"{type(problem).__name__}: {problem}"))
                raise
            self._resolve(future, error)
        if self._stopping:
            return
        try:
            self._work()
        except sqlite3.OperationalError as error:
            # Busy or a full disk: nothing was committed, the next turn tries again.
            _log.warning("%s: %s; trying again", self._topic, error)
            self._unread = True

    def _work(self) -> None:
        now = time.monotonic()
        self._collect()
        if now - self._looked_at >= _LOOK_FOR_DEAD_EVERY_S:
            self._looked_at = now
            self._take_from_dead()
        count, size = self._wanted()
        sign = now - self._signed_at >= self._settings.lease_s / 4
        store = bool(self._dirty) and now - self._stored_at >= _ACKS_EVERY_S
        if not (count or sign or store):
            return
        claimed: list[Claim] = []
        with transaction(self._db):
            if sign:
                self._group.sign()
            stored = self._store_dirty()
            if count:
                claimed, everything = self._group.claim(min(count, _AT_ONCE), size)
        self._stored(stored, now)
        if sign:
            self._signed_at = now
        if count:
            self._unread = not everything
        for claim in claimed:
            self._claims[claim.id] = claim
            self._deliver(claim)

    def _wanted(self) -> tuple[int, int]:
        """How much to claim now; zero if there is nothing, no room, or too little room to be worth it."""
        count, size = self._sink.room()
        if not count or (count < self._worthwhile and not self._sink.idle()):
            return 0, 0
        version = self._group.version()
        if version != self._version:
            self._version = version
            self._unread = self._unread or self._group.waiting()
        return (count, size) if self._unread else (0, 0)

    def _deliver(self, claim: Claim) -> None:
        deliveries = []
        found = set()
        for number, message in self._group.read(claim):
            attempt, failures = claim.attempt_of(number)
            deliveries.append(
                Delivery(message, self._topic, attempt, claim, number, self._sink, None, failures)
            )
            found.add(number)
        gone = claim.last - claim.first - len(claim.done) - len(found)
        if gone > 0:
            _log.warning(
                "%s: %d messages were deleted by age before they were read", self._topic, gone
            )
            claim.done.update(set(range(claim.first, claim.last)) - found)
            self._dirty.add(claim)
        if deliveries:
            self._sink.put(deliveries)

    def _collect(self) -> None:
        """Note on the claims what was acknowledged."""
        while self._acks:
            deliveries = self._acks.popleft()
            self._unstored.append(deliveries)
            for delivery in deliveries:
                claim = delivery.lease
                if claim.lost:
                    self._lost.append(delivery.message.id)
                elif isinstance(claim, Claim):
                    claim.done.add(delivery.offset)
                    self._dirty.add(claim)

    def _store_dirty(self) -> list[tuple[Claim, bool]]:
        return [(claim, self._group.store(claim)) for claim in self._dirty]

    def _stored(self, results: Sequence[tuple[Claim, bool]], now: float) -> None:
        """After the commit: forget what is finished, and what was taken away."""
        for claim, still_mine in results:
            if not still_mine:
                claim.lost = True
                for deliveries in self._unstored:
                    self._lost += [d.message.id for d in deliveries if d.lease is claim]
            if claim.finished or claim.lost:
                self._claims.pop(claim.id, None)
        self._dirty.clear()
        self._unstored.clear()
        self._stored_at = now

    def _store_all(self) -> None:
        self._collect()
        if self._dirty:
            with transaction(self._db):
                stored = self._store_dirty()
            self._stored(stored, time.monotonic())

    def _leave(self, unsettled: Sequence[tuple[Delivery, int]]) -> None:
        self._store_all()
        for delivery, attempt in unsettled:
            if isinstance(delivery.lease, Claim):
                delivery.lease.remember(delivery.offset, attempt, delivery.failures)
        with transaction(self._db):
            for claim in self._claims.values():
                self._group.release(claim)
            self._group.leave()
        self._claims.clear()
        self._stopping = True

    def _take_from_dead(self) -> None:
        folder = self._settings.beside
        for owner, seen in self._group.others():
            silent = seen > 0 and time.time() - seen > self._settings.lease_s
            if silent or _liveness.dead(folder, owner):
                with transaction(self._db):
                    self._group.disown(owner)
                _liveness.bury(folder, owner)
                self._unread = True
                _log.info("%s: took over from consumer %s", self._topic, owner)

    def _refuse_calls(self, error: BrokerError) -> None:
        while self._calls:
            try:
                _, future = self._calls.popleft()
            except IndexError:  # the other side was faster
                return
            self._resolve(future, error)

    def _resolve(self, future: asyncio.Future[object], error: Exception | None) -> None:
        def resolve() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(resolve)
        except RuntimeError:
            self._stopping = True
