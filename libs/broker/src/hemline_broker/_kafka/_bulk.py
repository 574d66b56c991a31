"""Sending many: one librdkafka producer and the one thread that both fills it and collects its reports.

librdkafka's Python client takes and leaves the interpreter lock for each delivery report. Were they collected by one
thread while another makes messages, each report would wait for the other thread's turn to end (5 ms); here the thread
that produces polls as it goes, and the event loop is only told the end of a call.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Record

from hemline_broker._errors import BrokerError, Closed, InvalidMessage
from hemline_broker._kafka._errors import translate
from hemline_broker._kafka._records import headers_of, key_of, texts_of
from hemline_broker._message import Message, Receipt, Receipts

_log = logging.getLogger(__name__)

_POLL_EVERY = 256  # messages
_POLL_S = 0.005  # the longest that a new call waits while reports of an old one are outstanding
_FLUSH_S = 10.0

_Report = Callable[[int, KafkaError | None, Record], None]


class _Job:
    """One call. All but `future` belongs to the thread."""

    __slots__ = ("future", "left", "messages", "results", "topic")

    def __init__(
        self, topic: str, messages: Sequence[Message], future: asyncio.Future[None]
    ) -> None:
        self.topic = topic
        self.messages = messages
        self.future = future
        self.left = len(messages)
        # (partition, offset), or what went wrong.
        self.results: list[Any] = [None] * len(messages)


class BulkProducer:
    """Owns the producer and its thread."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._producer = Producer(configuration, logger=_log)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting = 0  # messages without a report
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="kafka bulk producer", daemon=True)
        self._thread.start()

    async def send(
        self, topic: str, messages: Sequence[Message]
    ) -> Sequence[Receipt | BrokerError]:
        """Produce, and wait for every report. When cancelled, what is not yet produced stays so."""
        if self._closed:
            raise Closed("the broker was closed")
        job = _Job(topic, messages, self._loop.create_future())
        self._jobs.put(job)
        await job.future
        results = job.results
        if all(type(result) is tuple for result in results):
            return Receipts(topic, [message.id for message in messages], results)
        return [
            _outcome(topic, message, result)
            for message, result in zip(messages, results, strict=True)
        ]

    async def close(self) -> None:
        """Wait for what is under way, for a while, and end."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    # --- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._produce_all(job)
            except Exception as error:  # noqa: BLE001 - whoever waits must be told, whatever it was
                problem = BrokerError(f"cannot send: {type(error).__name__}: {error}")
                problem.__cause__ = error
                self._tell(job, problem)
        left = self._producer.flush(_FLUSH_S)
        if left:
            _log.warning("%d messages were not confirmed before closing; they may be lost", left)

    def _next(self) -> _Job | None:
        """The next call, collecting reports as long as some are outstanding."""
        while self._waiting:
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                self._producer.poll(_POLL_S)
        self._producer.poll(0)
        return self._jobs.get()

    def _produce_all(self, job: _Job) -> None:
        report = self._reporter(job)
        topic = job.topic
        for place, message in enumerate(job.messages):
            if not place % _POLL_EVERY:
                self._producer.poll(0)
                if job.future.cancelled():
                    return
            self._waiting += 1
            error = self._produce(topic, message, partial(report, place))
            if error is not None:
                report(place, error, None)  # type: ignore[arg-type]

    def _produce(
        self, topic: str, message: Message, report: Callable[[KafkaError | None, Record], None]
    ) -> Any:
        """Hand one message over; what went wrong, if it did."""
        try:
            # Most text is ASCII, and every string that is Unicode may go as it is.
            self._hand_over(topic, message.data, message.key, texts_of(message), report)
        except UnicodeEncodeError:
            try:
                self._hand_over(topic, message.data, key_of(message), headers_of(message), report)
            except UnicodeEncodeError as error:
                return InvalidMessage(f"message {message.id[:100]!r}: {error}")
        except KafkaException as error:
            return translate(error, f"send message {message.id[:100]!r} to {topic!r}")
        except (ValueError, TypeError) as error:
            return InvalidMessage(f"message {message.id[:100]!r}: {error}")
        return None

    def _hand_over(
        self, topic: str, data: bytes, key: str | bytes | None, headers: Any, report: Any
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, data, key, headers=headers, on_delivery=report)
            except BufferError:  # librdkafka's queue is full
                self._producer.poll(_POLL_S)
            else:
                return

    def _reporter(self, job: _Job) -> _Report:
        results = job.results

        def report(place: int, error: KafkaError | None, record: Record) -> None:
            results[place] = error or (record.partition(), record.offset())
            self._waiting -= 1
            job.left -= 1
            if not job.left:
                self._tell(job, None)

        return report

    def _tell(self, job: _Job, error: BrokerError | None) -> None:
        def resolve() -> None:
            if job.future.done():
                return
            if error is None:
                job.future.set_result(None)
            else:
                job.future.set_exception(error)

        try:
            self._loop.call_soon_threadsafe(resolve)
        except RuntimeError:
            _log.debug("the event loop ended before the answer")


def _outcome(topic: str, message: Message, result: Any) -> Receipt | BrokerError:
    if isinstance(result, tuple):
        return Receipt(message.id, f"{topic}/{result[0]}/{result[1]}")
    if isinstance(result, BrokerError):
        return result
    return translate(result, f"send message {message.id[:100]!r} to {topic!r}")
