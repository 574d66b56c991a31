"""The messaging library's happenings as metrics."""

from typing import Final

from hemline_api import metrics as names
from hemline_runtime._metrics import Metrics

__all__ = ["BrokerMetrics"]

_REASONS: Final = ("rejected", "retries")
"""Why the messaging library gives a message up."""


class BrokerMetrics:
    """Counts what is sent, received, redelivered and buried, and how far a group is behind.

    It has the methods of the messaging library's ``Observer`` without importing it; a service inherits from both.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Register everything."""
        self._topics: set[str] = set()
        self._sent = metrics.counter(names.BROKER_SENT)
        self._sent_bytes = metrics.counter(names.BROKER_SENT_BYTES)
        self._received = metrics.counter(names.BROKER_RECEIVED)
        self._received_bytes = metrics.counter(names.BROKER_RECEIVED_BYTES)
        self._redelivered = metrics.counter(names.BROKER_REDELIVERED)
        self._dead = metrics.counter(names.BROKER_DEAD)
        self._lag = metrics.gauge(names.BROKER_LAG)

    def sent(self, topic: str, messages: int, size: int) -> None:
        """Messages were made durable; ``size`` in bytes of bodies."""
        self._sent.labels(topic).inc(messages)
        self._sent_bytes.labels(topic).inc(size)

    def received(self, topic: str, messages: int, size: int) -> None:
        """Deliveries were handed out."""
        if topic not in self._topics:
            self._topics.add(topic)
            # A series that begins with its first event has no increase to show for it.
            self._redelivered.labels(topic)
            for reason in _REASONS:
                self._dead.labels(topic, reason)
        self._received.labels(topic).inc(messages)
        self._received_bytes.labels(topic).inc(size)

    def redelivered(self, topic: str, messages: int) -> None:
        """Of those, some were not a first attempt."""
        self._redelivered.labels(topic).inc(messages)

    def dead(self, topic: str, reason: str) -> None:
        """A message went to the dead-letter topic."""
        self._dead.labels(topic, reason).inc()

    def lag(self, topic: str, group: str, messages: int) -> None:
        """How many messages a group has yet to acknowledge."""
        self._lag.labels(topic, group).set(messages)
