"""What one consumer knows of one partition during one assignment. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

from hemline_broker._delivery import Lease


class _Span:
    """Offsets that were delivered together, and which of them are done."""

    __slots__ = ("done", "head", "offsets")

    def __init__(self, offsets: Sequence[int]) -> None:
        self.offsets = offsets
        self.done = bytearray(len(offsets))
        self.head = 0  # place of the first that is not done, -1 when all are

    def mark(self, place: int, count: int) -> None:
        self.done[place : place + count] = b"\1" * count
        if place <= self.head:
            self.head = self.done.find(0, self.head)


class Partition(Lease):
    """The contiguous watermark of one (topic, partition, epoch).

    Offsets are those that were delivered, never counted up: compaction and transactions leave gaps. What may be
    committed is the oldest delivered offset that is not done, or one past the last. A run costs one step, however many
    messages it has.

    Attributes:
        number: of the partition.
        committed: what was committed last, None if nothing was in this epoch.
        asked: a commit of this offset is on its way, None if none is.
        enlisted: the offset that a transaction commits for it now, while nobody else may; None if none does.
        watermark: what may be committed, None if nothing is done in this epoch.
    """

    __slots__ = (
        "_finished", "_firsts", "_spans", "asked", "committed", "enlisted", "number", "watermark",
    )  # fmt: skip

    def __init__(self, topic: str, number: int) -> None:
        super().__init__(f"{topic}/{number}/")
        self.number = number
        self.committed: int | None = None
        self.asked: int | None = None
        self.enlisted: int | None = None
        self.watermark: int | None = None
        self._spans: list[_Span] = []
        self._firsts: list[int] = []  # the first offset of each span
        self._finished: deque[Sequence[int]] = (
            deque()
        )  # offsets below the watermark, until committed

    def delivered(self, offsets: Sequence[int]) -> None:
        """These offsets were given out; they come in ascending order."""
        self._spans.append(_Span(offsets))
        self._firsts.append(offsets[0])

    def done(self, first: int, count: int = 1) -> None:
        """These need no second delivery: so many delivered offsets of one span, from that one on."""
        where = bisect_right(self._firsts, first) - 1
        if where < 0:
            return
        span = self._spans[where]
        place = bisect_left(span.offsets, first)
        if place == len(span.offsets) or span.offsets[place] != first:
            return
        span.mark(place, count)
        if where == 0:
            self._advance()

    def after(self, offsets: Sequence[int]) -> int | None:
        """What the watermark would be if these were done as well; None when a delivery before one of them is not."""
        extra = set(offsets)
        for span in self._spans:
            for place, offset in enumerate(span.offsets):
                if span.done[place] or offset in extra:
                    extra.discard(offset)
                else:
                    return None if extra else offset
        last = self._spans[-1].offsets[-1] + 1 if self._spans else self.watermark
        return None if extra else last

    def _advance(self) -> None:
        finished = 0
        for span in self._spans:
            if span.head >= 0:
                if finished or span.head:
                    self.watermark = span.offsets[span.head]
                break
            self.watermark = span.offsets[-1] + 1
            self._finished.append(span.offsets)
            finished += 1
        if finished:
            del self._spans[:finished]
            del self._firsts[:finished]
        self._drop_committed()

    def _drop_committed(self) -> None:
        while self._finished and self._finished[0][-1] < (self.committed or 0):
            self._finished.popleft()

    def done_in_vain(self) -> list[int]:
        """Offsets that are done but not committed: if the partition goes now, they are delivered again elsewhere."""
        committed = self.committed or 0
        found = [offset for span in self._finished for offset in span if offset >= committed]
        for span in self._spans:
            found += [
                offset
                for offset, done in zip(span.offsets, span.done, strict=True)
                if done and offset >= committed
            ]
        return found

    @property
    def dirty(self) -> bool:
        """Whether there is something to commit."""
        return self.watermark is not None and self.watermark != self.committed
