"""What has arrived and waits to be handed out, and how much of it there may be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hemline_broker._delivery import OVERHEAD_BYTES, SETTLED, Delivery
from hemline_broker._errors import InvalidOption
from hemline_broker._retry import Retry
from hemline_broker._run import Run

__all__ = ["Limits", "Line", "size_of"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a subscription may hold, and what it does with failures; see `Broker.subscribe`."""

    in_flight: int
    in_flight_bytes: int
    retry: Retry
    dead_letter: str | None

    def __post_init__(self) -> None:
        if self.in_flight < 1 or self.in_flight_bytes < 1:
            raise InvalidOption(
                f"in_flight and in_flight_bytes must be at least 1, got {self.in_flight} and {self.in_flight_bytes}"
            )


def size_of(delivery: Delivery) -> int:
    """Bytes that a delivery counts for in `in_flight_bytes`."""
    return len(delivery.message.data) + OVERHEAD_BYTES


class Line:
    """Deliveries and runs in the order in which they are handed out.

    Args:
        dropped: told of messages and bytes whose lease was lost while they waited.
    """

    def __init__(self, dropped: Callable[[int, int], None]) -> None:
        self._dropped = dropped
        self._waiting: deque[Delivery | Run] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Delivery | Run]:
        return iter(self._waiting)

    def extend(self, arrived: Iterable[Delivery | Run]) -> None:
        """Put at the end what arrived."""
        self._waiting.extend(arrived)

    def put_first(self, deliveries: Iterable[Delivery]) -> None:
        """Put these before everything, the last of them first."""
        self._waiting.extendleft(deliveries)

    def drop(self) -> None:
        """Hand out none of what waits."""
        for each in self._waiting:
            each.state = SETTLED
        self._waiting.clear()

    def messages(self) -> int:
        """How many messages wait."""
        return sum(1 if isinstance(each, Delivery) else len(each) for each in self._waiting)

    def take_one(self) -> Delivery | None:
        """The first delivery; None when nothing waits."""
        while (first := self._first()) is not None:
            if isinstance(first, Delivery):
                self._waiting.popleft()
                return first
            self._take_apart()
        return None

    def take(self, count: int, max_bytes: int | None) -> list[Delivery | Run]:
        """So many messages at most, and so many bytes of bodies, but one message if any waits."""
        taken: list[Delivery | Run] = []
        left = count
        size = 0
        while left and (first := self._first()) is not None:
            if isinstance(first, Delivery):
                size += len(first.message.data)
                if max_bytes is not None and taken and size > max_bytes:
                    break
                taken.append(self._waiting.popleft())
                left -= 1
            elif max_bytes is not None and size + first.size > max_bytes:
                self._take_apart()
            else:
                part = self._waiting.popleft() if len(first) <= left else first.split(left)
                taken.append(part)
                left -= 1 if isinstance(part, Delivery) else len(part)
                size += first.size if part is first else 0
        return taken

    def _first(self) -> Delivery | Run | None:
        """What is first in line, still there; what its lease no longer covers is dropped."""
        while self._waiting:
            first = self._waiting[0]
            if not (first.lease.lost or first.lease.stopping):
                return first
            self._waiting.popleft().state = SETTLED
            if isinstance(first, Delivery):
                self._dropped(1, size_of(first))
            else:
                self._dropped(len(first), first.cost)
        return None

    def _take_apart(self) -> None:
        """Put the deliveries of the run that is first in line in its place."""
        run = self._waiting.popleft()
        if isinstance(run, Run):
            self._waiting.extendleft(reversed(run.deliveries()))
