"""One consumer and the one thread that ever touches it; commands reach it by a queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka import Message as Record

from hemline_broker._consumer_thread import ConsumerThread
from hemline_broker._delivery import Delivery
from hemline_broker._driver import Sink
from hemline_broker._errors import BrokerError, TransactionAborted, Unavailable
from hemline_broker._kafka._admin import KafkaAdmin
from hemline_broker._kafka._client_log import client_log
from hemline_broker._kafka._errors import is_denied, making_a_client, translate
from hemline_broker._kafka._partition import Partition
from hemline_broker._kafka._records import KafkaMessage, fitting, offsets_of
from hemline_broker._kafka._settings import Settings, consumer_settings
from hemline_broker._run import Run

_log = logging.getLogger(__name__)

_POLL_S = 0.02  # the longest a command waits
_COMMIT_EVERY_S = 0.2
_AT_ONCE = 500
_ASK_S = 15.0
_REBALANCE_S = 60.0
_LEAVE_S = 5.0  # a consumer that leaves waits no longer for a rebalance
# Pausing throws away what librdkafka has fetched, so a short lack of room is waited out instead.
_PAUSE_AFTER_S = 0.5
_STALE = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError._ASSIGNMENT_LOST,
        KafkaError._STATE,
    }
)


class KafkaSource(ConsumerThread):
    """See `hemline_broker._driver.Source`."""

    def __init__(
        self,
        settings: Settings,
        admin: KafkaAdmin,
        topic: str,
        group: str,
        sink: Sink,
        *,
        modern: bool,
        max_message_bytes: int,
    ) -> None:
        super().__init__(topic, sink)
        self._settings = settings
        self._admin = admin
        self._topic = topic
        self.group = group
        self._config = consumer_settings(settings, group, max_message_bytes, modern=modern)
        self._config["error_cb"] = self._on_error
        self._config["on_commit"] = self._on_commit
        self._parts: dict[int, Partition] = {}
        self._committed_at = 0.0
        self._anew = False
        self._waits = False
        self._polled_at = 0.0
        self._paused: set[int] = set()
        # Taken from the client while there was no room for it; first in line.
        self._held: list[Record] = []
        # A record's size is not known before it is taken: until some are, they are as large as they may be.
        self._largest = max_message_bytes

    # --- Source, on the event loop ---------------------------------------------------------------------------

    def wake(self) -> None:
        """The thread waits on this only while it has no reason to read."""
        if self._waits:
            self._wake.set()

    async def settle(self) -> Sequence[str]:
        """Commit; in the middle of a rebalance or of a transaction that cannot be, so it waits for the end of that."""
        if not await self._committed(_REBALANCE_S):
            raise Unavailable(
                f"the group of {self._topic!r} has been rebalancing, or in a transaction, for "
                f"{_REBALANCE_S:g} s: acks are not durable"
            )
        return self._take_lost()

    async def close(self, unsettled: Sequence[tuple[Delivery, int]]) -> Sequence[str]:
        """Commit, waiting a little for a rebalance to end, and leave the group."""
        try:
            if self._thread.ident is not None and not self._ended:
                await self._committed(_LEAVE_S)
        finally:
            lost = await super().close(unsettled)
        return lost

    async def _committed(self, patience: float) -> bool:
        """Whether every ack so far was made durable within so many seconds."""
        deadline = time.monotonic() + patience
        while True:
            found: list[bool] = []
            await self._call(partial(self._commit_into, found))
            if found[0] or time.monotonic() > deadline:
                return found[0]
            await asyncio.sleep(_POLL_S)

    async def lag(self) -> int:
        """Ask the brokers."""
        return await self._admin.lag(self._topic, self.group)

    async def enlist(self, deliveries: Sequence[Delivery]) -> tuple[list[TopicPartition], Any]:
        """The offsets that a transaction with these deliveries commits, and the group's metadata as it is now.

        Until `delist` or `committed_by_transaction` nothing else commits for these partitions.
        """
        found: list[tuple[list[TopicPartition], Any]] = []
        await self._call(lambda: found.append(self._enlist(deliveries)))
        return found[0]

    async def delist(self) -> None:
        """The transaction came to nothing."""
        with suppress(BrokerError):  # the consumer may have ended, and its partitions with it
            await self._call(self._delist)

    async def committed_by_transaction(self, deliveries: Sequence[Delivery]) -> None:
        """The transaction took effect."""
        await self._call(lambda: self._finish(deliveries))

    async def doubt(self, deliveries: Sequence[Delivery]) -> None:
        """Nobody knows whether the transaction took effect: read on from where the brokers will say that it is."""
        with suppress(
            BrokerError
        ):  # whoever joins after a consumer that has ended asks the brokers, too
            await self._call(lambda: self._doubt(deliveries))

    async def took_effect(self, deliveries: Sequence[Delivery]) -> bool:
        """Whether the brokers have the offsets of a transaction whose end nobody saw."""
        found: list[bool] = []
        await self._call(lambda: found.append(self._took_effect(deliveries)))
        return found[0]

    # --- the thread ------------------------------------------------------------------------------------------

    def _translate(self, error: Exception) -> BrokerError | None:
        return (
            translate(error, f"consume {self._topic!r}")
            if isinstance(error, KafkaException)
            else None
        )

    def _consume(self) -> None:
        while not self._stopping:
            self._anew = False
            self._parts.clear()
            self._paused.clear()
            self._held.clear()
            self._live()

    def _live(self) -> None:
        """The life of one consumer."""
        with making_a_client():
            self.consumer = Consumer(self._config, logger=client_log())
        try:
            self.consumer.subscribe(
                [self._topic],
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            while not (self._stopping or self._anew):
                self._turn()
        finally:
            # A rebalance on the way out waits for nobody, unless another life follows.
            self._stopping = self._stopping or not self._anew
            self.consumer.close()

    def _turn(self) -> None:
        self._serve_calls()
        if self._stopping:
            return
        self._collect()
        if time.monotonic() - self._committed_at >= _COMMIT_EVERY_S:
            self._commit(durable=False)
        count, size = self._sink.room()
        # What nobody waits for stays with librdkafka, in less memory than as objects that no cache can hold.
        if count and self._sink.idle():
            self._resume()
            self._read(min(count, _AT_ONCE), size)
        elif self._paused or time.monotonic() - self._polled_at > _PAUSE_AFTER_S:
            # Callbacks of a rebalance come through a poll, and so does the proof of life.
            if not count:
                self._pause()
            self._read(min(count, 1), size)
        else:
            self._wait_for_reader()

    def _read(self, count: int, size: int) -> None:
        first = self.consumer.poll(0 if self._calls or (self._held and count) else _POLL_S)
        self._polled_at = time.monotonic()
        if first is not None:
            self._held.append(first)
        # As many more as fit if they are no larger than those before them.
        more = min(count, size // self._largest) - len(self._held)
        if first is not None and more > 0:
            self._held += self.consumer.consume(more, 0)
        if self._held:
            self._deliver(count, size)

    def _wait_for_reader(self) -> None:
        self._waits = True
        # Once more after saying so: whoever made room before that woke nobody.
        if not (self._sink.room()[0] and self._sink.idle()):
            self._wake.wait(_POLL_S)
        self._waits = False
        self._wake.clear()

    def _pause(self) -> None:
        fresh = self._parts.keys() - self._paused
        if fresh:
            self.consumer.pause([TopicPartition(self._topic, number) for number in fresh])
            self._paused |= fresh

    def _resume(self) -> None:
        # What went while it was paused is left out, and is still paused when it comes again: librdkafka remembers.
        stopped = self._paused & self._parts.keys()
        if stopped:
            self.consumer.resume([TopicPartition(self._topic, number) for number in stopped])
            self._paused -= stopped

    def _deliver(self, count: int, size: int) -> None:
        """Hand over what was taken, as far as there is room; hold back the rest."""
        records, self._held = self._held, []
        if any(map(Record.error, records)):
            good = []
            for record in records:
                error = record.error()
                if error is None:
                    good.append(record)
                else:
                    self._on_record_error(error)
            records = good
        largest = 0
        # librdkafka fetches from one partition after the other, so that most reads are one run or a few.
        for number, group in groupby(records, Record.partition):
            part = self._parts.get(number) if number is not None else None
            if part is None:
                continue  # of an assignment that has just gone
            taken = [*group]
            sizes = [*map(len, taken)]
            largest = max(largest, *sizes)
            fit = fitting(sizes, count, size)
            if fit < len(taken):
                self._held += taken[fit:]
                taken, sizes = taken[:fit], sizes[:fit]
            if not taken:
                continue
            offsets = offsets_of(taken)
            part.delivered(offsets)
            run = Run(self._topic, part, taken, offsets, sizes, KafkaMessage, self._sink)
            count -= len(run)
            size -= run.cost
            self._sink.put_run(run)
        # Falls slowly, so that a stream of large messages with small ones between is not misjudged again and again.
        self._largest = max(largest + 1, self._largest * 7 // 8)

    def _on_record_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._PARTITION_EOF, KafkaError._MAX_POLL_EXCEEDED):
            return
        problem = translate(error, f"consume {self._topic!r}")
        if problem.retryable and not error.fatal():
            _log.warning("%s", problem)
            return
        raise problem

    def _on_error(self, error: KafkaError) -> None:
        if is_denied(error) or error.fatal():
            self._sink.fail(translate(error, f"consume {self._topic!r}"))

    # --- acks and commits ------------------------------------------------------------------------------------

    def _collect(self) -> None:
        while self._acks:
            acked = self._acks.popleft()
            if isinstance(acked, Run):
                if acked.lease.lost:
                    self._lost.extend([message.id for message in acked.messages])
                elif isinstance(acked.lease, Partition):
                    acked.lease.done(acked.offsets[0], len(acked))
                continue
            for delivery in acked:
                part = delivery.lease
                if part.lost:
                    self._lost.append(delivery.message.id)
                elif isinstance(part, Partition):
                    part.done(delivery.offset)

    def _store_acks(self) -> None:
        self._commit(durable=True)

    def _leave(self, unsettled: Sequence[tuple[Delivery, int]]) -> None:
        """`close` has committed, and the brokers give out again what is not."""

    def _commit_into(self, found: list[bool]) -> None:
        found.append(self._commit(durable=True))

    def _commit(self, *, durable: bool) -> bool:
        """Commit every watermark that moved; `durable` waits for the answer and raises if there is none.

        False if it was refused because of a rebalance, or a transaction is to end first: do it again after that.
        """
        self._collect()
        self._committed_at = time.monotonic()
        dirty = [part for part in self._parts.values() if part.dirty]
        return self._commit_parts(dirty, durable=durable)

    def _commit_parts(self, parts: Sequence[Partition], *, durable: bool) -> bool:
        # What was acknowledged beside a transaction is only safe to commit once that has ended.
        waits = durable and any(part.enlisted is not None for part in parts)
        marks = [
            (part, part.watermark)
            for part in parts
            if part.watermark is not None
            and part.enlisted is None
            and (durable or part.asked != part.watermark)
        ]
        if not marks:
            return not waits
        offsets = [TopicPartition(self._topic, part.number, mark) for part, mark in marks]
        try:
            if durable:
                done = self.consumer.commit(offsets=offsets, asynchronous=False)
                errors = [each.error for each in done or () if each.error is not None]
                if errors:
                    raise KafkaException(errors[0])
            else:
                for part, mark in marks:
                    part.asked = mark
                self.consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            detail = error.args[0]
            for part, _ in marks:
                part.asked = None
            if detail.code() in _STALE:
                # In the middle of a rebalance: what is still ours afterwards is committed then.
                _log.info("%s: commit refused during a rebalance: %s", self._topic, detail.str())
                return False
            if durable:
                raise
            _log.warning("%s: %s", self._topic, translate(error, "commit"))
            return False
        if durable:
            for part, mark in marks:
                part.committed, part.asked = mark, None
        return not waits

    def _on_commit(self, error: KafkaError | None, parts: Sequence[TopicPartition]) -> None:
        for each in parts:
            part = self._parts.get(each.partition)
            if part is not None and part.asked == each.offset:
                part.asked = None
                if error is None and each.error is None:
                    part.committed = each.offset

    # --- transactions ----------------------------------------------------------------------------------------

    def _enlist(self, deliveries: Sequence[Delivery]) -> tuple[list[TopicPartition], Any]:
        self._collect()
        marks = self._marks(deliveries)
        # A commit that is on its way could arrive after the transaction's and undo it.
        late = [part for part in marks if part.asked is not None]
        self._commit_parts(late, durable=True)
        for part, mark in marks.items():
            part.enlisted = mark
        offsets = [TopicPartition(self._topic, part.number, mark) for part, mark in marks.items()]
        return offsets, self.consumer.consumer_group_metadata()

    def _marks(self, deliveries: Sequence[Delivery]) -> Mapping[Partition, int]:
        """Partition → offset after these deliveries."""
        offsets: dict[Partition, list[int]] = {}
        for delivery in deliveries:
            part = delivery.lease
            if part.lost or not isinstance(part, Partition):
                raise TransactionAborted(
                    f"messages of {self._topic!r} went to another consumer before the commit"
                )
            offsets.setdefault(part, []).append(delivery.offset)
        marks = {}
        for part, mine in offsets.items():
            mark = part.after(mine)
            if mark is None:
                raise TransactionAborted(
                    f"a message of {part.prefix} before offset {max(mine)} is neither acknowledged nor part of the "
                    "transaction; take messages in batches and transact one batch after the other"
                )
            marks[part] = mark
        return marks

    def _delist(self) -> None:
        for part in self._parts.values():
            part.enlisted = None

    def _finish(self, deliveries: Sequence[Delivery]) -> None:
        touched: set[Partition] = set()
        for delivery in deliveries:
            if isinstance(delivery.lease, Partition):
                delivery.lease.done(delivery.offset)
                touched.add(delivery.lease)
        for part in touched:
            # Not the watermark: what was acknowledged since is not in the transaction.
            if part.enlisted is not None:
                part.committed = part.enlisted
            part.enlisted = None

    def _doubt(self, deliveries: Sequence[Delivery]) -> None:
        # What these hold must be neither handed out nor committed: it may be done already. A consumer that begins
        # anew is given positions by the brokers once they have ended the transaction, one way or the other.
        held = {each.lease for each in deliveries if not each.lease.lost}
        parts = [part for part in held if isinstance(part, Partition)]
        self._forget(parts)
        self._anew = self._anew or bool(parts)

    def _took_effect(self, deliveries: Sequence[Delivery]) -> bool:
        # Not what could be committed now: acks that came beside the transaction are not in it.
        marks = {
            part: mark if part.enlisted is None else part.enlisted
            for part, mark in self._marks(deliveries).items()
        }
        asked = [TopicPartition(self._topic, part.number) for part in marks]
        found = {part.partition: part for part in self.consumer.committed(asked, timeout=_ASK_S)}
        return all(
            found[part.number].error is None and found[part.number].offset >= mark
            for part, mark in marks.items()
        )

    # --- rebalance, called by poll, consume and close --------------------------------------------------------

    def _on_assign(self, consumer: Consumer, parts: Sequence[TopicPartition]) -> None:
        for part in parts:
            if part.topic == self._topic:
                self._parts[part.partition] = Partition(self._topic, part.partition)

    def _on_revoke(self, consumer: Consumer, parts: Sequence[TopicPartition]) -> None:
        going = [self._parts[p.partition] for p in parts if p.partition in self._parts]
        for part in going:
            part.stopping = True
        deadline = time.monotonic() + (0 if self._stopping else self._settings.drain_s)
        while any(part.in_hand for part in going) and time.monotonic() < deadline:
            time.sleep(0.002)
            self._serve_calls()  # what is in hand may be in a transaction, which needs this thread
            self._collect()
        self._collect()
        try:
            self._commit_parts([part for part in going if part.dirty], durable=True)
        except KafkaException as error:
            _log.warning("%s: %s", self._topic, translate(error, "commit before giving up"))
        self._forget(going)

    def _on_lost(self, consumer: Consumer, parts: Sequence[TopicPartition]) -> None:
        self._forget([self._parts[p.partition] for p in parts if p.partition in self._parts])

    def _forget(self, parts: Sequence[Partition]) -> None:
        gone = {part.number for part in parts}
        # In place: the read that brings this call is about to add to it.
        self._held[:] = [record for record in self._held if record.partition() not in gone]
        for part in parts:
            if part.lost:  # a doubtful transaction ended while its partition was being given up
                continue
            part.lost = True
            self._parts.pop(part.number, None)
            # Their ids are forgotten by now; what has no id of its own is named by its position, too.
            self._lost.extend(map(part.position, part.done_in_vain()))
