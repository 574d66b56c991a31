"""Exactly once: outputs and offsets in one Kafka transaction, and the truth about how it ended.

Nothing is begun before the commit: until then a transaction is a list in memory, so that a handler that raises, and a
consumer that dies, leave nothing behind on the brokers. Then all goes in one breath: begin, produce, offsets, commit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from hemline_broker._delivery import Delivery
from hemline_broker._errors import (
    BrokerError,
    Closed,
    InvalidMessage,
    TransactionAborted,
    Unavailable,
)
from hemline_broker._kafka._client_log import client_log
from hemline_broker._kafka._errors import making_a_client, translate
from hemline_broker._kafka._records import headers_of, key_of
from hemline_broker._kafka._source import KafkaSource
from hemline_broker._message import Message

_log = logging.getLogger(__name__)
T = TypeVar("T")

_INIT_S = 60.0
_ABORT_S = 30.0
_POLL_EVERY = 256
_POLL_S = 0.02


class _Unknown(Exception):
    """The commit was asked for, and nobody said how it ended."""

    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.fenced = error.fatal()


class Transactor:
    """One transactional producer and its thread, for one group of one connection.

    The id need not be the same after a restart for correctness: an old member's offsets are refused by its generation
    (KIP-447). But an id that is the same ends a dead process's open transaction at once instead of after its timeout.
    """

    def __init__(self, configuration: Mapping[str, Any], transactional_id: str) -> None:
        self._configuration = {**configuration, "transactional.id": transactional_id}
        self._thread = ThreadPoolExecutor(1, "kafka transactions")
        self._lock = asyncio.Lock()
        self._producer: Producer | None = None
        self._closed = False

    async def transact(
        self,
        outputs: Mapping[str, Sequence[Message]],
        source: KafkaSource | None,
        deliveries: Sequence[Delivery],
        timeout: float,
    ) -> None:
        """See `hemline_broker._driver.Transacts`."""
        deadline = time.monotonic() + timeout
        async with self._lock:
            if self._closed:
                raise Closed("the broker was closed")
            try:
                await self._call(lambda: self._begin(outputs))
                if source is not None and deliveries:
                    # Read now, not earlier: a stale generation would be fenced, or worse, would not.
                    offsets, metadata = await source.enlist(deliveries)
                    await self._call(lambda: self._send_offsets(offsets, metadata, deadline))
                await self._call(lambda: self._commit(deadline))
            except _Unknown as unknown:
                await self._find_out(source, deliveries, unknown)
            except BaseException as error:
                try:
                    await self._call(self._abort)
                finally:
                    if source is not None:
                        await source.delist()
                problem = _aborted(error)
                if problem is not error:
                    raise problem from problem.__cause__
                raise
            if source is not None and deliveries:
                try:
                    await source.committed_by_transaction(deliveries)
                except BrokerError as error:
                    # It took effect, whatever became of the consumer since; its reader is told by the consumer.
                    _log.warning("a transaction was committed, but its consumer failed: %s", error)

    async def close(self) -> None:
        """Let go of the producer."""
        async with self._lock:
            if not self._closed:
                self._closed = True
                await self._call(self._discard)
                self._thread.shutdown(wait=False)

    async def _find_out(
        self, source: KafkaSource | None, deliveries: Sequence[Delivery], unknown: _Unknown
    ) -> None:
        """Return if the commit took effect; the brokers know the group's offsets.

        Raises:
            TransactionAborted: it did not.
            Unavailable: nobody knows; the source reads on from what the brokers will know.
        """
        text = f"the brokers did not say how the transaction ended: {unknown}"
        took_effect = False
        try:
            await self._call(self._discard)
            if not unknown.fenced:
                # A new life of the same id makes the coordinator finish the old one, either way.
                await self._call(self._ready)
            if source is not None and deliveries:
                took_effect = await source.took_effect(deliveries)
        except (KafkaException, BrokerError) as error:
            if source is not None:
                await source.doubt(deliveries)
            raise Unavailable(f"{text}, and it cannot be found out: {_text(error)}") from error
        if took_effect:
            return
        if source is None or not deliveries:
            raise Unavailable(f"{text}; its messages may have been sent") from unknown.__cause__
        await source.delist()
        raise TransactionAborted(text) from unknown.__cause__

    def _call(self, function: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.wrap_future(self._thread.submit(function))

    # --- the thread ------------------------------------------------------------------------------------------

    def _ready(self) -> Producer:
        if self._producer is None:
            with making_a_client():
                producer = Producer(self._configuration, logger=client_log())
            producer.init_transactions(_INIT_S)
            self._producer = producer
        return self._producer

    def _begin(self, outputs: Mapping[str, Sequence[Message]]) -> None:
        producer = self._ready()
        producer.begin_transaction()
        failed: list[BrokerError] = []
        for topic, messages in outputs.items():

            def report(error: KafkaError | None, _: object, topic: str = topic) -> None:
                if error is not None:
                    failed.append(translate(error, f"send to {topic!r}"))

            for place, message in enumerate(messages):
                self._produce(producer, topic, message, report)
                if not place % _POLL_EVERY:
                    producer.poll(0)
        # Not flush: with a fenced producer it is a SystemError. Every message ends within `message.timeout.ms`.
        while len(producer):
            producer.poll(_POLL_S)
        # The first is the reason, the others were purged for it.
        if failed:
            raise failed[0]

    def _produce(self, producer: Producer, topic: str, message: Message, report: Any) -> None:
        headers = headers_of(message)
        while True:
            try:
                producer.produce(
                    topic, message.data, key_of(message), headers=headers, on_delivery=report
                )
            except BufferError:
                producer.poll(_POLL_S)
            except (UnicodeEncodeError, ValueError, TypeError) as error:
                raise InvalidMessage(f"message {message.id[:100]!r}: {error}") from error
            else:
                return

    def _send_offsets(self, offsets: list[TopicPartition], metadata: Any, deadline: float) -> None:
        producer = self._ready()
        _until(deadline, lambda left: producer.send_offsets_to_transaction(offsets, metadata, left))

    def _commit(self, deadline: float) -> None:
        producer = self._ready()
        try:
            _until(deadline, producer.commit_transaction)
        except KafkaException as error:
            if _detail(error).txn_requires_abort():
                raise
            raise _Unknown(_detail(error)) from error

    def _abort(self) -> None:
        """End it; with a producer that can no longer do that, give the producer up."""
        try:
            if self._producer is not None:
                producer = self._producer
                _until(time.monotonic() + _ABORT_S, producer.abort_transaction)
        except KafkaException as error:
            _log.warning("giving up a transactional producer: %s", _detail(error).str())
            self._discard()

    def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaException):  # it says again why it is given up
                producer.purge()
                producer.poll(0)


def _until(deadline: float, call: Callable[[float], object]) -> None:
    """Call again as long as the client says that is the thing to do."""
    while True:
        try:
            call(max(deadline - time.monotonic(), 0.1))
        except KafkaException as error:
            if not _detail(error).retriable() or time.monotonic() > deadline:
                raise
        else:
            return


def _detail(error: KafkaException) -> KafkaError:
    detail: KafkaError = error.args[0]
    return detail


def _aborted(error: BaseException) -> BaseException:
    """What to raise for an error before which nobody asked for the commit: surely nothing took effect."""
    if isinstance(error, KafkaException):
        error = translate(error, "commit the transaction")
    # As itself, `Unavailable` would leave open what happened.
    if isinstance(error, Unavailable) or type(error) is BrokerError:
        aborted = TransactionAborted(str(error))
        aborted.__cause__ = error.__cause__ or error
        return aborted
    return error


def _text(error: KafkaException | BrokerError) -> str:
    return _detail(error).str() if isinstance(error, KafkaException) else str(error)
