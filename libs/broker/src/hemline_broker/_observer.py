"""What a user of the library may watch: one method per happening, all doing nothing by default."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from hemline_broker._errors import BrokerError

_log = logging.getLogger(__name__)

_LAG_EVERY_S = 1.0


class Observer:
    """Receives counts for metrics. Subclass it and override what you need; calls must be quick and not raise.

    All calls come on the event loop's thread. `size` is in bytes of message bodies.
    """

    def sent(self, topic: str, messages: int, size: int) -> None:
        """Messages were made durable."""

    def received(self, topic: str, messages: int, size: int) -> None:
        """Deliveries were handed out."""

    def redelivered(self, topic: str, messages: int) -> None:
        """Of those, some were not a first attempt."""

    def acked(self, topic: str, messages: int) -> None:
        """Deliveries were acknowledged by the handler."""

    def dead(self, topic: str, reason: str) -> None:
        """A message went to the dead-letter topic, or was discarded for want of one.

        `reason` is `rejected`, `retries`, or `body-gone` where a claim check's body was deleted.
        """

    def lag(self, topic: str, group: str, messages: int) -> None:
        """Messages of the group not yet acknowledged, about once a second."""


async def watch_lag(
    observer: Observer, topic: str, group: str, lag: Callable[[], Awaitable[int]]
) -> None:
    """Tell the observer again and again, until cancelled."""
    while True:
        try:
            observer.lag(topic, group, await lag())
        except BrokerError as error:
            _log.debug("lag of %s is unknown: %s", topic, error)
        await asyncio.sleep(_LAG_EVERY_S)
