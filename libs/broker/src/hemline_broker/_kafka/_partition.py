"""What one consumer knows of one partition during one assignment. Pure."""

from __future__ import annotations

from collections import deque

from hemline_broker._delivery import HANDED, Delivery, Lease


class Partition(Lease):
    """The contiguous watermark of one (topic, partition, epoch).

    Offsets are those that were delivered, never counted up: compaction and transactions leave gaps. What may be
    committed is the oldest delivered offset that is not done, or one past the last.

    Attributes:
        number: of the partition.
        committed: what was committed last, None if nothing was in this epoch.
    """

    __slots__ = ("_done", "_order", "_out", "committed", "number", "watermark")

    def __init__(self, topic: str, number: int) -> None:
        super().__init__(f"{topic}/{number}/")
        self.number = number
        self.committed: int | None = None
        self.watermark: int | None = None
        self._order: deque[int] = deque()
        self._done: set[int] = set()
        self._out: dict[int, Delivery] = {}

    def delivered(self, delivery: Delivery) -> None:
        """That offset was given out; they come in ascending order."""
        self._order.append(delivery.offset)
        self._out[delivery.offset] = delivery

    def done(self, offset: int) -> None:
        """That offset needs no second delivery."""
        if self._out.pop(offset, None) is None:
            return
        self._done.add(offset)
        order, done = self._order, self._done
        while order and order[0] in done:
            last = order.popleft()
            done.remove(last)
            self.watermark = order[0] if order else last + 1

    @property
    def dirty(self) -> bool:
        """Whether there is something to commit."""
        return self.watermark is not None and self.watermark != self.committed

    @property
    def in_hand(self) -> bool:
        """Whether a handler has a delivery of this partition."""
        return any(delivery.state == HANDED for delivery in list(self._out.values()))
