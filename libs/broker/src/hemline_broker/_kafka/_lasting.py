"""A producer that outlives librdkafka's fatal errors.

An idempotent producer whose sequence of messages broke, or that was fenced, refuses everything from then on. It is
given up: what it still held is reported as failed, and the next message is sent by a new one.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from hemline_broker._errors import BrokerError, Denied, Unavailable
from hemline_broker._kafka._client_log import client_log
from hemline_broker._kafka._errors import is_denied, making_a_client, translate

_log = logging.getLogger(__name__)

_POLL_S = 0.02
_OF_THE_FATAL_ONE = frozenset(
    {KafkaError._FATAL, KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
)


class LastingProducer:
    """Made by one thread that produces, and polled by one thread, the same or another."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._configuration = configuration
        self._made = threading.Event()
        self._fatal: KafkaError | None = None
        self._current: Producer | None = None
        self.ready()

    def __len__(self) -> int:
        """Messages without a report."""
        return 0 if self._current is None else len(self._current)

    def ready(self) -> Producer:
        """One that accepts messages as far as anybody knows; for the thread that produces."""
        producer = self._current
        if producer is None:
            # Not at once after the error: with credentials that lack a right it would fail again and again.
            with making_a_client():
                producer = self._current = Producer(self._configuration, logger=client_log())
            self._made.set()
        return producer

    def poll(self, timeout: float) -> None:
        """Collect reports; notice a fatal error."""
        producer = self._current
        if producer is None:
            self._made.wait(timeout)
            return
        try:
            producer.poll(timeout)
        except KafkaException as error:
            self.give_up(error.args[0])

    def give_up(self, error: KafkaError) -> None:
        """Report as failed what has no report yet; for the thread that polls."""
        producer = self._current
        if producer is None:
            return
        _log.error("giving up a producer: %s", error.str())
        self._fatal = error
        self._made.clear()
        self._current = None
        producer.purge()
        while len(producer):
            with suppress(KafkaException):  # it says again what is known
                producer.poll(_POLL_S)

    def flush(self, timeout: float) -> int:
        """Wait for reports; how many are missing."""
        producer = self._current
        if producer is None:
            return 0
        try:
            return producer.flush(timeout)
        except KafkaException as error:
            self.give_up(error.args[0])
            return 0

    def failure(self, error: KafkaError, doing: str) -> BrokerError:
        """A message's error as ours: the one for which its producer was given up, not that it was purged."""
        if self._fatal is None or error.code() not in _OF_THE_FATAL_ONE:
            return translate(error, doing)
        cause = self._fatal
        kind = Denied if is_denied(cause) else Unavailable
        problem = kind(
            f"cannot {doing}: its producer failed ({cause.str()}) and is made anew; it may have arrived all the same"
        )
        problem.__cause__ = KafkaException(cause)
        return problem
