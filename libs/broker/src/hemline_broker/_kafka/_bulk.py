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
from operator import attrgetter
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Message as Record

from hemline_broker._errors import BrokerError, Closed, InvalidMessage
from hemline_broker._kafka._errors import is_fatal, translate
from hemline_broker._kafka._lasting import LastingProducer
from hemline_broker._kafka._records import headers_of, key_of, texts_of
from hemline_broker._message import Message, Receipt, Receipts

_log = logging.getLogger(__name__)

_POLL_EVERY = 256  # messages
_POLL_S = 0.005  # the longest that a new call waits while reports of an old one are outstanding
_FLUSH_S = 10.0
_ID = attrgetter("id")
_Done = Callable[[KafkaError | None, Record], None]


class _Job:
    """One call. All but `future` belongs to the thread.

    Attributes:
        offsets: of the messages, None until reported.
        partitions: where they lie.
        errors: place → what went wrong.
    """

    __slots__ = ("errors", "future", "left", "messages", "offsets", "partitions", "topic")

    def __init__(
        self, topic: str, messages: Sequence[Message], future: asyncio.Future[None]
    ) -> None:
        self.topic = topic
        self.messages = messages
        self.future = future
        self.left = len(messages)
        self.offsets: list[Any] = [None] * len(messages)
        self.partitions: list[Any] = [None] * len(messages)
        self.errors: dict[int, KafkaError | BrokerError] = {}


class BulkProducer:
    """Owns the producer and its thread."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._loop = asyncio.get_running_loop()
        self._producer = LastingProducer(configuration)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
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
        receipts = Receipts(topic, list(map(_ID, messages)), job.partitions, job.offsets)
        if not job.errors:
            return receipts
        return [
            self._outcome(job, place) if place in job.errors else receipt
            for place, receipt in enumerate(receipts)
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
                problem = error
                if not isinstance(error, BrokerError):
                    problem = BrokerError(f"cannot send: {type(error).__name__}: {error}")
                    problem.__cause__ = error
                self._tell(job, problem)
        left = self._producer.flush(_FLUSH_S)
        if left:
            _log.warning("%d messages were not confirmed before closing; they may be lost", left)

    def _next(self) -> _Job | None:
        """The next call, collecting reports as long as some are outstanding."""
        while len(self._producer):
            try:
                return self._jobs.get_nowait()
            except queue.Empty:
                self._producer.poll(_POLL_S)
        self._producer.poll(0)
        return self._jobs.get()

    def _produce_all(self, job: _Job) -> None:
        produce = self._producer.ready().produce
        report = self._reporter(job)
        topic = job.topic
        for place, message in enumerate(job.messages):
            if not place % _POLL_EVERY:
                self._producer.poll(0)
                produce = self._producer.ready().produce
                if job.future.cancelled():
                    return
            done = partial(report, place)
            try:
                # Most text is ASCII, and every string that is Unicode may go as it is.
                headers: Any = texts_of(message)
                produce(topic, message.data, message.key, headers=headers, on_delivery=done)
            except (KafkaException, BufferError, ValueError, TypeError):
                error = self._produce_with_care(topic, message, done)
                produce = self._producer.ready().produce
                if error is not None:
                    job.errors[place] = error
                    self._count_down(job)

    def _produce_with_care(self, topic: str, message: Message, done: _Done) -> BrokerError | None:
        """Produce what was refused, once there is room, with a new producer, or with text that is no Unicode."""
        while True:
            producer = self._producer.ready()
            try:
                headers = headers_of(message)
                producer.produce(
                    topic, message.data, key_of(message), headers=headers, on_delivery=done
                )
            except BufferError:  # librdkafka's queue is full
                self._producer.poll(_POLL_S)
            except KafkaException as problem:
                if not is_fatal(problem):
                    return translate(problem, _sending(topic, message))
                self._producer.poll(_POLL_S)  # tells which
                if self._producer.ready() is producer:
                    self._producer.give_up(problem.args[0])
            except (ValueError, TypeError) as problem:
                return InvalidMessage(f"message {message.id[:100]!r}: {problem}")
            else:
                return None

    def _reporter(self, job: _Job) -> Callable[[int, KafkaError | None, Record], None]:
        offsets, partitions = job.offsets, job.partitions

        def report(place: int, error: KafkaError | None, record: Record) -> None:
            if error is None:
                offsets[place] = record.offset()
                partitions[place] = record.partition()
            else:
                job.errors[place] = error
            job.left -= 1
            if not job.left:
                self._tell(job, None)

        return report

    def _count_down(self, job: _Job) -> None:
        job.left -= 1
        if not job.left:
            self._tell(job, None)

    def _tell(self, job: _Job, error: Exception | None) -> None:
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

    def _outcome(self, job: _Job, place: int) -> BrokerError:
        error = job.errors[place]
        if isinstance(error, BrokerError):
            return error
        return self._producer.failure(error, _sending(job.topic, job.messages[place]))


def _sending(topic: str, message: Message) -> str:
    return f"send message {message.id[:100]!r} to {topic!r}"
