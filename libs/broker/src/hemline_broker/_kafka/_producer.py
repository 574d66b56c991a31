"""Sending: one librdkafka producer, one thread that collects its delivery reports."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Record

from hemline_broker._errors import BrokerError, Closed, InvalidMessage
from hemline_broker._kafka._errors import is_fatal, translate
from hemline_broker._kafka._lasting import LastingProducer
from hemline_broker._kafka._records import headers_of, key_of
from hemline_broker._kafka._settings import Settings
from hemline_broker._message import Message, Receipt

_log = logging.getLogger(__name__)

# So many messages are handed to librdkafka before the event loop gets a turn.
_WITHOUT_A_BREAK = 512
_FULL_PAUSE_S = 0.005
_POLL_S = 0.1
_FLUSH_S = 10.0
QUEUE_KBYTES = 262_144


class _Batch:
    """The messages of one call, and what became of them."""

    __slots__ = ("future", "reported", "results")

    def __init__(self, size: int, future: asyncio.Future[None]) -> None:
        self.results: list[Any] = [None] * size
        self.reported: list[int] = []
        self.future = future

    def report(self, place: int, result: object) -> bool:
        """Note a result; whether it was the last. From any thread: appending is atomic, a counter would not be."""
        self.results[place] = result
        self.reported.append(place)
        return len(self.reported) >= len(self.results)


class KafkaProducer:
    """Owns the producer and its thread."""

    def __init__(self, settings: Settings, max_message_bytes: int, *, linger_ms: float) -> None:
        self._loop = asyncio.get_running_loop()
        configuration = producer_settings(settings, max_message_bytes, linger_ms)
        self._producer = LastingProducer(configuration)
        self._finished: deque[_Batch] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="kafka producer", daemon=True)
        self._thread.start()

    @property
    def producer(self) -> Producer:
        """The client's own."""
        return self._producer.ready()

    async def send(
        self, topic: str, messages: Sequence[Message]
    ) -> Sequence[Receipt | BrokerError]:
        """Produce, and wait for every report."""
        if not messages:
            return []
        if self._stopping:
            raise Closed("the broker was closed")
        batch = _Batch(len(messages), self._loop.create_future())
        for start in range(0, len(messages), _WITHOUT_A_BREAK):
            if start:
                await asyncio.sleep(0)
            for place, message in enumerate(messages[start : start + _WITHOUT_A_BREAK], start):
                # Trying first keeps the usual case free of a coroutine per message.
                if not self._produce(topic, message, batch, place):
                    await self._produce_when_there_is_room(topic, message, batch, place)
        await batch.future
        prefixes: dict[int, str] = {}
        results: list[Receipt | BrokerError] = []
        for message, result in zip(messages, batch.results, strict=True):
            if isinstance(result, tuple):
                partition, offset = result
                prefix = prefixes.get(partition)
                if prefix is None:
                    prefix = prefixes[partition] = f"{topic}/{partition}/"
                results.append(Receipt(message.id, f"{prefix}{offset}"))
            elif isinstance(result, BrokerError):
                results.append(result)
            else:
                doing = f"send message {message.id[:100]!r} to {topic!r}"
                results.append(self._producer.failure(result, doing))
        return results

    async def close(self) -> None:
        """Wait for what is under way, for a while, and end."""
        if self._stopping:
            return
        left = await asyncio.to_thread(self._producer.flush, _FLUSH_S)
        if left:
            _log.warning("%d messages were not confirmed before closing; they may be lost", left)
        self._stopping = True
        await asyncio.to_thread(self._thread.join)

    def _produce(self, topic: str, message: Message, batch: _Batch, place: int) -> bool:
        """False when librdkafka's queue is full, or the producer is about to be given up by the thread."""
        try:
            self._producer.ready().produce(
                topic,
                message.data,
                key_of(message),
                headers=headers_of(message),
                on_delivery=partial(self._report, batch, place),
            )
        except BufferError:
            return False
        except KafkaException as error:
            if is_fatal(error):
                return False
            problem = translate(error, f"send message {message.id[:100]!r} to {topic!r}")
            if batch.report(place, problem):
                _resolve((batch,))
        except (UnicodeEncodeError, ValueError, TypeError) as error:
            if batch.report(place, InvalidMessage(f"message {message.id[:100]!r}: {error}")):
                _resolve((batch,))
        return True

    async def _produce_when_there_is_room(
        self, topic: str, message: Message, batch: _Batch, place: int
    ) -> None:
        while not self._produce(topic, message, batch, place):
            if self._stopping:
                raise Closed("the broker was closed while a send was waiting for room")
            await asyncio.sleep(_FULL_PAUSE_S)

    # --- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            self._producer.poll(_POLL_S)
            # Whatever one poll brought is told to the event loop in one go.
            finished = []
            while self._finished:
                finished.append(self._finished.popleft())
            if finished:
                try:
                    self._loop.call_soon_threadsafe(_resolve, finished)
                except RuntimeError:  # the loop has ended
                    return

    def _report(self, batch: _Batch, place: int, error: KafkaError | None, record: Record) -> None:
        if batch.report(place, error or (record.partition(), record.offset())):
            self._finished.append(batch)


def _resolve(batches: Sequence[_Batch]) -> None:
    for batch in batches:
        if not batch.future.done():
            batch.future.set_result(None)


def producer_settings(
    settings: Settings, max_message_bytes: int, linger_ms: float
) -> dict[str, Any]:
    """librdkafka's settings: durable, in order, small delay, bounded memory."""
    return {
        **settings.client,
        "acks": "all",
        "enable.idempotence": True,
        "linger.ms": linger_ms,
        "compression.type": settings.compression,
        # librdkafka counts a little more than we do; ours is the limit that counts.
        "message.max.bytes": max(max_message_bytes + 65_536, 1_000_000),
        "queue.buffering.max.kbytes": QUEUE_KBYTES,
        "queue.buffering.max.messages": 1_000_000,
        "message.timeout.ms": 120_000,
        # Without a callback of ours the client turns a fatal error into a SystemError of whatever call comes next.
        "error_cb": _note,
    }


def _note(error: KafkaError) -> None:
    (_log.error if error.fatal() else _log.debug)("producer: %s", error.str())


def transaction_settings(settings: Settings, max_message_bytes: int) -> dict[str, Any]:
    """The same for a transactional producer: no message may outlive its transaction."""
    return {
        **producer_settings(settings, max_message_bytes, linger_ms=0),
        "transaction.timeout.ms": settings.transaction_ms,
        "message.timeout.ms": settings.transaction_ms,
    }
