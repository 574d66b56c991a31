"""Outputs and acknowledgements that take effect together or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from hemline_broker._delivery import ENLISTED, HANDED, Delivery
from hemline_broker._driver import Driver, Transacts
from hemline_broker._errors import Closed, InvalidOption, Unsupported
from hemline_broker._message import Message, check
from hemline_broker._observer import Observer
from hemline_broker._subscription import Subscription


class Transaction:
    """Made by `Broker.transaction`. What it is given reaches the broker when the context ends, not before."""

    def __init__(self, limit: int, subscription: Subscription | None) -> None:
        self._limit = limit
        self._subscription = subscription
        self._open = True
        self.outputs: dict[str, list[Message]] = {}
        self.deliveries: list[Delivery] = []

    def send(self, topic: str, message: Message) -> None:
        """Send a message with the commit.

        Raises:
            TooLarge, InvalidMessage: at once.
        """
        self.send_many(topic, (message,))

    def send_many(self, topic: str, messages: Sequence[Message]) -> None:
        """Send messages with the commit, in order."""
        self._check_open()
        for message in messages:
            check(message, self._limit)
        self.outputs.setdefault(topic, []).extend(messages)

    def ack(self, deliveries: Delivery | Sequence[Delivery]) -> None:
        """Acknowledge a delivery, or a batch of them, with the commit. What is settled already is left out.

        On Kafka, which knows one position per partition, every earlier delivery of the partition must be settled or
        part of this transaction; so take a batch, and transact it as a whole.
        """
        self._check_open()
        if self._subscription is None:
            raise InvalidOption("to acknowledge in a transaction, open it with the subscription")
        for delivery in (deliveries,) if isinstance(deliveries, Delivery) else deliveries:
            if delivery.state == HANDED:
                delivery.state = ENLISTED
                self.deliveries.append(delivery)

    def end(self) -> None:
        """From now on it takes nothing more."""
        self._open = False

    def _check_open(self) -> None:
        if not self._open:
            raise Closed("the transaction has ended")


@asynccontextmanager
async def transacting(
    driver: Driver,
    subscription: Subscription | None,
    limit: int,
    observer: Observer,
    timeout: float,
) -> AsyncIterator[Transaction]:
    """See `Broker.transaction`."""
    if not isinstance(driver, Transacts):
        raise Unsupported(
            "this backend has no transactions; send first, then ack: a crash between the two repeats the message, "
            "and readers drop repeats by its id"
        )
    source = subscription.joined() if subscription is not None else None
    transaction = Transaction(limit, subscription)

    def conclude(work: asyncio.Future[None] | None) -> None:
        if subscription is None:
            return
        if work is None or work.cancelled() or work.exception() is not None:
            subscription.rewind(transaction.deliveries)
        else:
            subscription.settle_enlisted(transaction.deliveries)

    try:
        try:
            yield transaction
        finally:
            transaction.end()
    except BaseException:
        conclude(None)
        raise
    if transaction.outputs or transaction.deliveries:
        work = asyncio.ensure_future(
            driver.transact(transaction.outputs, source, transaction.deliveries, timeout)
        )
        # Whether the deliveries come again depends on how it ends and on nothing else: not on whoever waits for it,
        # who may be cancelled, and once more while he waits for the end.
        work.add_done_callback(conclude)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait((work,))
            raise
    for topic, messages in transaction.outputs.items():
        observer.sent(topic, len(messages), sum(len(message.data) for message in messages))
