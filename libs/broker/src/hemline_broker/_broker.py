"""The portable API: the same inputs, outputs and meaning on every backend."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, TypeVar

from hemline_broker._driver import Capability, Driver, Start, TopicInfo
from hemline_broker._errors import BrokerError, Closed, InvalidOption, SendFailed
from hemline_broker._line import Limits
from hemline_broker._message import Message, Receipt, Receipts, check, is_plain
from hemline_broker._observer import Observer
from hemline_broker._retry import Retry
from hemline_broker._subscription import Subscription
from hemline_broker._transaction import Transaction, transacting

T = TypeVar("T")

DEFAULT_TIMEOUT_S = 30.0
# What Kafka, Pub/Sub and a file name all allow, with room for the group in `<topic>.<group>`.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,119}\Z")


def _name(kind: str, name: str) -> str:
    if not (isinstance(name, str) and _NAME.match(name)):
        raise InvalidOption(
            f"{kind} {name!r}: expected 1 to 120 characters, a letter first, then letters, digits, '.', '_' or '-'"
        )
    return name


def _group(name: str) -> str:
    # Brokers know a group as `<topic>.<group>`: with dots in both, two topics could share one without knowing.
    if "." in _name("group", name):
        raise InvalidOption(
            f"group {name!r}: expected no dot, because the broker knows it as <topic>.<group>; "
            f"write {name.replace('.', '-')!r}"
        )
    return name


class Broker:
    """A connection to one backend; made by `connect`."""

    def __init__(self, driver: Driver, observer: Observer, max_message_bytes: int) -> None:
        self._driver = driver
        self._observer = observer
        self._limit = max_message_bytes
        self._subscriptions: set[Subscription] = set()
        self._closed = False

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this backend can do beyond the common ground."""
        return self._driver.capabilities

    async def ensure(
        self,
        topic: str,
        group: str | None = None,
        *,
        partitions: int = 1,
        start: Start = "new",
        ordered: bool = False,
    ) -> None:
        """Make a topic and a group's starting position, where they do not exist yet. Changes nothing that exists.

        What is sent after this call is seen by the group, whenever its first consumer comes.

        Args:
            topic: name of the topic.
            group: name of the group, if one is to be made; it has no dots.
            partitions: for a new topic on a backend with partitions.
            start: where a new group begins: after what is there now, or at the oldest message.
            ordered: messages of one key must arrive in order, at whatever price the backend asks.
        """
        self._open()
        if partitions < 1:
            raise InvalidOption(f"partitions must be at least 1, got {partitions}")
        _check_start(start)
        await self._driver.ensure(
            _name("topic", topic), group and _group(group), partitions, start, ordered
        )

    async def forget(self, topic: str, group: str) -> None:
        """Remove a group and its position; nothing if there is none. Its consumers must be closed.

        A group that nobody uses any more holds back what SQLite could delete, and counts as lag everywhere.
        """
        self._open()
        await self._driver.forget(_name("topic", topic), _group(group))

    async def send(
        self, topic: str, message: Message, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> Receipt:
        """Send one message; return when it is durable.

        Raises:
            TooLarge, InvalidMessage: before any I/O.
            NotFound: no such topic.
            Unavailable: not confirmed within `timeout` seconds; it may arrive all the same.
        """
        self._open()
        check(message, self._limit)
        (result,) = await self._driver.send(topic, [message], timeout)
        if isinstance(result, BrokerError):
            raise result
        self._observer.sent(topic, 1, len(message.data))
        return result

    async def send_many(
        self, topic: str, messages: Sequence[Message], *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> Sequence[Receipt]:
        """Send messages in order; return when all are durable.

        Raises:
            SendFailed: some failed; `errors` says which and why, all others are durable.
            NotFound, Denied: none was sent.
            Unavailable: they were not confirmed within `timeout` seconds; any of them may arrive all the same.
        """
        self._open()
        errors: dict[int, BrokerError] = {}
        limit = self._limit
        for place, message in enumerate(messages):
            if not is_plain(message, limit):
                try:
                    check(message, limit)
                except BrokerError as error:
                    errors[place] = error
        places: Sequence[int] = range(len(messages))
        legal = messages
        if errors:
            places = [place for place in places if place not in errors]
            legal = [messages[place] for place in places]
        results = await self._driver.send(topic, legal, timeout) if legal else []
        if isinstance(results, Receipts) and not errors:
            if type(self._observer).sent is not Observer.sent:
                self._observer.sent(topic, len(legal), sum([len(m.data) for m in legal]))
            return results
        receipts: list[Receipt] = []
        sent_bytes = 0
        for place, message, result in zip(places, legal, results, strict=True):
            if isinstance(result, BrokerError):
                errors[place] = result
            else:
                receipts.append(result)
                sent_bytes += len(message.data)
        if receipts:
            self._observer.sent(topic, len(receipts), sent_bytes)
        if errors:
            raise SendFailed(topic, errors, len(messages))
        return receipts

    def subscribe(
        self,
        topic: str,
        *,
        group: str,
        start: Start = "oldest",
        in_flight: int = 1024,
        in_flight_bytes: int = 256 << 20,
        retry: Retry | None = None,
        dead_letter: str | None = None,
    ) -> Subscription:
        """A consumer of a group; consumers of one group share its messages, groups are independent.

        Args:
            topic: name of the topic, which must exist.
            group: name of the group, without dots; made here, beginning at `start`, if `ensure` has not made it.
            start: where a new group begins.
            in_flight: messages held at most, those with handlers included.
            in_flight_bytes: bytes held at most, give or take one message.
            retry: what follows a failure; None means `Retry()`.
            dead_letter: topic, which must exist, for what cannot be processed. Without it such messages are
                logged, counted and discarded.
        """
        self._open()
        _check_start(start)
        subscription = Subscription(
            self._driver,
            _name("topic", topic),
            _group(group),
            start,
            Limits(
                in_flight,
                in_flight_bytes,
                retry or Retry(),
                None if dead_letter is None else _name("dead-letter topic", dead_letter),
            ),
            self._observer,
            self._subscriptions.discard,
        )
        self._subscriptions.add(subscription)
        return subscription

    def transaction(
        self, subscription: Subscription | None = None, *, timeout: float = DEFAULT_TIMEOUT_S
    ) -> AbstractAsyncContextManager[Transaction]:
        """Send messages and acknowledge deliveries, all or nothing: exactly once from topic to topic.

        ::

            async for batch in orders.batches(256):
                async with broker.transaction(orders) as transaction:
                    transaction.send_many("bills", [bill(order) for order in batch.messages])
                    transaction.ack(batch)

        Leaving the context commits. When its body raises, or the commit fails, nothing was sent, and the deliveries
        come again in the same order with a higher `attempt`. Without a subscription it makes sends to several topics
        atomic. A caller who is cancelled meanwhile waits for the end, which decides whether the deliveries come again.

        Args:
            subscription: whose deliveries it acknowledges; None where it only sends.
            timeout: seconds from the end of the body. It bounds what may take long for no fault of the transaction,
                not all that leaving the context can take. With a claim check: storing large bodies. On SQLite: the
                wait for the write lock (never above 10 s), which begins when the connection's thread has finished
                what it is at, itself up to 10 s while the file is locked. On Kafka: sending the offsets and the
                commit. Before these, the first transaction of a group finds its coordinator (up to 60 s) and the
                outputs are sent (up to the option `transaction_ms`); after an error, the abort takes up to 30 s.

        Raises:
            Unsupported: the backend lacks `Capability.TRANSACTIONS`.
            TransactionAborted: surely nothing took effect; do the same with the deliveries, which come again.
            TooLarge, InvalidMessage, NotFound, Denied, Closed: surely nothing took effect, and the same would fail
                again: because of one of the messages or topics, or because the broker or the consumer was closed.
            Unavailable: nobody knows whether it took effect; on Kafka after up to 75 seconds more of asking. The
                deliveries come again if it did not, and not if it did, so go on reading. Without deliveries there is
                nothing that the backend could know it by: send the same messages again, whose ids stay.
        """
        self._open()
        return transacting(self._driver, subscription, self._limit, self._observer, timeout)

    async def topics(self, names: Collection[str] | None = None) -> Sequence[TopicInfo]:
        """Topics with their groups and the lag of each: all there are, or those of these names that exist."""
        self._open()
        return await self._driver.topics(names)

    async def ping(self) -> None:
        """Raise `Unavailable` or `Denied` unless the backend answers."""
        self._open()
        await self._driver.ping()

    def native(self, kind: type[T]) -> T:
        """The backend's own client object of that type: the way out of the portable API.

        Raises:
            TypeError: this backend has none of that type.
        """
        found: Any = self._driver.native(kind)
        return found  # type: ignore[no-any-return]

    async def close(self, drain: float = 0.0) -> None:
        """Close every subscription, wait for what is being sent, disconnect. Safe to call twice.

        Raises:
            BrokerError: the first of the subscriptions' that could not end in good order; all is closed nevertheless.
        """
        if self._closed:
            return
        self._closed = True
        try:
            ends = await asyncio.gather(
                *(each.close(drain) for each in list(self._subscriptions)), return_exceptions=True
            )
            for end in ends:
                if isinstance(end, BaseException):
                    raise end
        finally:
            await self._driver.close()

    def _open(self) -> None:
        if self._closed:
            raise Closed("the broker was closed")


def _check_start(start: str) -> Literal[True]:
    if start not in ("new", "oldest"):
        raise InvalidOption(f"start must be 'new' or 'oldest', got {start!r}")
    return True
