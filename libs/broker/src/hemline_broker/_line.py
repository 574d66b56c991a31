"""What has arrived and waits to be handed out, and how much of it there may be."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hemline_broker._delivery import OVERHEAD_BYTES, SETTLED, Delivery
from hemline_broker._errors import InvalidOption
from hemline_broker._retry import Retry
from hemline_broker._run import Run

__all__ = ["Limits", "Line", "Space", "size_of"]


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


class Space:
    """How much of what a subscription may hold is taken.

    Two pairs of counters, each written by one thread only, so that the room is known without a lock: what arrived is
    counted by the source's thread, what is settled by the event loop.
    """

    __slots__ = (
        "_arrived", "_arrived_bytes", "_landed", "_most", "_most_bytes", "_settled", "_settled_bytes",
    )  # fmt: skip

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._arrived = self._arrived_bytes = self._settled = self._settled_bytes = 0
        self._landed = 0  # of those that arrived: known to the event loop

    @property
    def under_way(self) -> bool:
        """Whether something has arrived that the event loop does not know yet."""
        return self._arrived != self._landed

    def left(self) -> tuple[int, int]:
        """Messages and bytes that may come; none of the one where there is none of the other."""
        count = self._most - (self._arrived - self._settled)
        size = self._most_bytes - (self._arrived_bytes - self._settled_bytes)
        return (count, size) if count > 0 and size > 0 else (0, 0)

    def arrive(self, count: int, size: int) -> None:
        """So much has come."""
        self._arrived_bytes += size
        self._arrived += count

    def land(self, count: int) -> None:
        """The event loop has it."""
        self._landed += count

    def settle(self, count: int, size: int) -> None:
        """So much is done with; negative for what counts again."""
        self._settled += count
        self._settled_bytes += size


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
