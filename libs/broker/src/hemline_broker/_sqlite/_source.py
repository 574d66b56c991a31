"""One consumer: a thread that claims, writes acks in groups, and takes over from the dead."""

from __future__ import annotations

import logging
import sqlite3
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import closing

from hemline_broker._consumer_thread import ConsumerThread
from hemline_broker._delivery import Delivery
from hemline_broker._driver import Sink
from hemline_broker._errors import BrokerError, TransactionAborted, Unavailable
from hemline_broker._message import Message
from hemline_broker._run import Run
from hemline_broker._sqlite import _liveness
from hemline_broker._sqlite._claims import Claim
from hemline_broker._sqlite._database import (
    aborting,
    all_or_nothing,
    as_broker_error,
    open_database,
    transaction,
)
from hemline_broker._sqlite._group import Group
from hemline_broker._sqlite._settings import Settings
from hemline_broker._sqlite._writer import insert_all

_log = logging.getLogger(__name__)

_ACKS_EVERY_S = 0.02
_LOOK_FOR_DEAD_EVERY_S = 0.2
_AFTER_TROUBLE_S = 0.1
_AT_ONCE = 2048


class SqliteSource(ConsumerThread):
    """See `hemline_broker._driver.Source`."""

    def __init__(
        self, settings: Settings, topic: str, topic_id: int, group_id: int, sink: Sink, limit: int
    ) -> None:
        super().__init__(topic, sink)
        self._settings = settings
        self._topic = topic
        self._ids = (topic_id, group_id)
        # Claiming in fewer, larger steps saves transactions; see `_wanted`.
        self._worthwhile = max(1, limit // 4)
        self._me = uuid.uuid4().hex
        self._claims: dict[int, Claim] = {}
        self._undelivered: deque[Claim] = deque()
        self._dirty: set[Claim] = set()
        self._unstored: list[Sequence[Delivery]] = []
        self._notes: deque[Delivery] = deque()
        self._version = -1
        self._unread = True
        self._stored_at = self._signed_at = self._looked_at = self._paused_until = 0.0

    # --- Source, on the event loop ---------------------------------------------------------------------------

    def wake(self) -> None:
        """The thread looks often enough."""

    def remember(self, delivery: Delivery) -> None:
        """Leave it to the thread, which writes it beside the acks."""
        self._notes.append(delivery)

    async def lag(self) -> int:
        """Ask the database."""
        answer: list[int] = []
        await self._call(lambda: answer.append(self._group.lag()))
        return answer[0]

    async def transact(
        self,
        outputs: Mapping[str, Sequence[Message]],
        deliveries: Sequence[Delivery],
        deadline: float,
    ) -> None:
        """One transaction of the database for both; its errors are those of `all_or_nothing`."""
        begun = False

        def work() -> None:
            nonlocal begun
            begun = True
            self._transact(outputs, deliveries, deadline)

        try:
            await self._call(work)
        except Unavailable as error:
            if begun:
                raise
            raise TransactionAborted(str(error)) from error  # the thread had ended

    # --- the thread ------------------------------------------------------------------------------------------

    def _translate(self, error: Exception) -> BrokerError | None:
        if isinstance(error, sqlite3.Error):
            return as_broker_error(error, "consume")
        if isinstance(error, OSError):
            return Unavailable(f"cannot consume: {error}")
        return None

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
        self._serve_calls()
        if self._stopping or time.monotonic() < self._paused_until:
            return
        try:
            self._work()
        except sqlite3.OperationalError as error:
            # Busy or a full disk: what was not committed, and claims not read, are for the next turn.
            _log.warning("%s: %s; trying again", self._topic, error)
            self._unread = True
            self._paused_until = time.monotonic() + _AFTER_TROUBLE_S

    def _work(self) -> None:
        now = time.monotonic()
        self._collect()
        if now - self._looked_at >= _LOOK_FOR_DEAD_EVERY_S:
            self._looked_at = now
            self._take_from_dead()
        count, size = self._wanted()
        sign = now - self._signed_at >= self._settings.lease_s / 4
        store = bool(self._dirty) and now - self._stored_at >= _ACKS_EVERY_S
        if count or sign or store:
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
            self._claims.update((claim.id, claim) for claim in claimed)
            self._undelivered.extend(claimed)
        # Whoever holds a claim must read it, and a read may fail: it stays here until one did not.
        while self._undelivered:
            self._deliver(self._undelivered[0])
            self._undelivered.popleft()

    def _wanted(self) -> tuple[int, int]:
        """How much to claim now; zero if there is nothing, no room, or too little room to be worth it."""
        if self._undelivered:
            return 0, 0  # they will take room
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
        """Note on the claims what failed and what was acknowledged."""
        while self._notes:
            again = self._notes.popleft()
            claim = again.lease
            # It may be acknowledged by now, and its claim be gone.
            if (
                isinstance(claim, Claim)
                and claim.id in self._claims
                and again.offset >= claim.first
                and again.offset not in claim.done
            ):
                claim.remember(again.offset, again.attempt, again.failures)
                self._dirty.add(claim)
        while self._acks:
            deliveries = self._acks.popleft()
            if isinstance(deliveries, Run):
                continue  # none was delivered
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
                    self._lost.extend([d.message.id for d in deliveries if d.lease is claim])
            if claim.finished or claim.lost:
                self._claims.pop(claim.id, None)
        self._dirty.clear()
        self._unstored.clear()
        self._stored_at = now

    def _store_acks(self) -> None:
        self._collect()
        if self._dirty:
            with transaction(self._db):
                stored = self._store_dirty()
            self._stored(stored, time.monotonic())

    def _transact(
        self,
        outputs: Mapping[str, Sequence[Message]],
        deliveries: Sequence[Delivery],
        deadline: float,
    ) -> None:
        with aborting(self._db, deadline):
            self._store_acks()
        numbers: dict[Claim, list[int]] = {}
        for delivery in deliveries:
            if isinstance(delivery.lease, Claim):
                numbers.setdefault(delivery.lease, []).append(delivery.offset)
        before = {claim: (claim.first, set(claim.done)) for claim in numbers}
        try:
            with all_or_nothing(self._db, deadline):
                insert_all(self._db, outputs)
                for claim in numbers:
                    # Nobody can take it over before the commit.
                    if claim.lost or not self._group.mine(claim):
                        claim.lost = True
                        raise TransactionAborted(
                            f"messages of {self._topic!r} went to another consumer before the commit"
                        )
                for claim, done in numbers.items():
                    claim.done.update(done)
                self._dirty.update(numbers)
                stored = self._store_dirty()
        except BaseException:
            for claim, (first, done_before) in before.items():
                claim.first, claim.done = first, done_before
            self._dirty.clear()
            raise
        self._stored(stored, time.monotonic())
        # It may have sent to the topic that it reads, and the version tells what other connections did alone.
        self._unread = True

    def _leave(self, unsettled: Sequence[tuple[Delivery, int]]) -> None:
        self._store_acks()
        for delivery, attempt in unsettled:
            if isinstance(delivery.lease, Claim):
                delivery.lease.remember(delivery.offset, attempt, delivery.failures)
        with transaction(self._db):
            for claim in self._claims.values():
                self._group.release(claim)
            self._group.leave()
        self._claims.clear()
        self._undelivered.clear()
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
