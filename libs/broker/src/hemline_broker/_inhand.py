"""What handlers have in hand: a subscription that drains waits for it, one that closes gives it back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from hemline_broker._delivery import HANDED, Delivery
from hemline_broker._run import Run

__all__ = ["InHand"]


class InHand:
    """Deliveries and runs that are handed out and not settled; it keeps `Lease.in_hand` as well.

    Attributes:
        deliveries: those that go their own ways.
        runs: those that nobody has taken apart.
    """

    def __init__(self) -> None:
        self.deliveries: set[Delivery] = set()
        self.runs: set[Run] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    async def empty(self) -> None:
        """Return when there is nothing."""
        await self._empty.wait()

    def take(self, taken: Iterable[Delivery | Run]) -> tuple[int, int, int]:
        """Hand these out: how many messages, how many bytes of bodies, how many of them not for the first time."""
        count = size = again = 0
        for each in taken:
            each.state = HANDED
            if isinstance(each, Delivery):
                each.lease.in_hand += 1
                count += 1
                size += len(each.message.data)
                again += each.attempt > 1
                self.deliveries.add(each)
            else:
                each.lease.in_hand += len(each)
                count += len(each)
                size += each.size
                self.runs.add(each)
        self._empty.clear()
        return count, size, again

    def leave(self, deliveries: Sequence[Delivery]) -> None:
        """These are settled."""
        self.deliveries.difference_update(deliveries)
        for delivery in deliveries:
            delivery.lease.in_hand -= 1
        self._check()

    def leave_run(self, run: Run) -> None:
        """This is settled as a whole."""
        self.runs.discard(run)
        run.lease.in_hand -= len(run)
        self._check()

    def open(self, run: Run) -> Sequence[Delivery]:
        """Let the deliveries of a run go their own ways."""
        deliveries = run.deliveries()
        if run in self.runs:
            self.runs.discard(run)
            self.deliveries.update(deliveries)
        return deliveries

    def _check(self) -> None:
        if not self.deliveries and not self.runs:
            self._empty.set()
