"""Failed deliveries that wait aside until their retry, while those behind them go first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from hemline_broker._delivery import PARKED, Delivery
from hemline_broker._line import size_of

__all__ = ["Parked"]


class Parked:
    """Deliveries whose time has not come.

    Parked messages leave room for others, or a few of them would stop the stream; but never more than as many again,
    or they would have no bound.

    Args:
        most: deliveries that leave their room to others.
        account: told of messages and bytes that leave room, negative where they take it again.
        back: told of each whose time has come.
    """

    def __init__(
        self, most: int, account: Callable[[int, int], None], back: Callable[[Delivery], None]
    ) -> None:
        self._most = most
        self._account = account
        self._back = back
        self._timers: dict[Delivery, asyncio.TimerHandle] = {}

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._timers)

    def park(self, delivery: Delivery, delay: float) -> None:
        """Keep it for so many seconds."""
        delivery.state = PARKED
        counted = len(self._timers) < self._most
        if counted:
            self._account(1, size_of(delivery))
        self._timers[delivery] = asyncio.get_running_loop().call_later(
            delay, self._leave, delivery, counted
        )

    def drop(self) -> None:
        """Let none of them come back."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _leave(self, delivery: Delivery, counted: bool) -> None:
        del self._timers[delivery]
        if counted:
            self._account(-1, -size_of(delivery))
        self._back(delivery)
