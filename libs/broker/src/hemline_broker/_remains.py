"""Next attempts that nobody has in hand: a subscription that closes must tell its source, or they would be lost."""

from __future__ import annotations

from collections.abc import Iterable

from hemline_broker._delivery import Delivery

__all__ = ["Remains"]


class Remains:
    """Deliveries that have failed or were cut off, and wait outside the line.

    Attributes:
        resting: those that keep their key's place in `run` until their time has come.
    """

    def __init__(self) -> None:
        self.resting: set[Delivery] = set()
        self._left: list[Delivery] = []

    def leave(self, deliveries: Iterable[Delivery]) -> None:
        """These will not be handed out here any more."""
        self._left += deliveries

    def unsettled(self, handed: Iterable[Delivery]) -> list[tuple[Delivery, int]]:
        """Everything that is to come again with the number of its next attempt; `handed` has begun its last one."""
        # A first attempt that nobody has seen is nothing to remember.
        waiting = (each for each in (*self._left, *self.resting) if each.attempt > 1)
        return [
            *((each, each.attempt) for each in waiting),
            *((each, each.attempt + 1) for each in handed),
        ]
