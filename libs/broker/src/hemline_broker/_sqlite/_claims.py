"""A consumer's hold on a range of message numbers, and what of it is done. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from hemline_broker._delivery import Lease


class Claim(Lease):
    """The numbers from `first` up to, but not including, `last`.

    Attributes:
        id: row of the claim.
        attempt: number of the delivery under this claim.
        done: numbers that are acknowledged, beyond `first`.
        history: number → (attempts more than the claim says, failures).
    """

    __slots__ = ("attempt", "done", "first", "history", "id", "last")

    def __init__(
        self, prefix: str, identity: int, first: int, last: int, attempt: int, state: str | None
    ) -> None:
        super().__init__(prefix)
        self.id = identity
        self.first = first
        self.last = last
        self.attempt = attempt
        self.done: set[int] = set()
        self.history: dict[int, tuple[int, int]] = {}
        if state is not None:
            known = json.loads(state)
            for start, end in known["done"]:
                self.done.update(range(max(start, first), min(end, last)))
            self.history = {
                int(number): (more, failures)
                for number, (more, failures) in known["history"].items()
                if first <= int(number) < last
            }
        self.advance()

    def attempt_of(self, number: int) -> tuple[int, int]:
        """Which delivery of that message this one is, and how many failed before."""
        more, failures = self.history.get(number, (0, 0))
        return self.attempt + more, failures

    def remember(self, number: int, attempt: int, failures: int) -> None:
        """The next delivery of that message is number `attempt`, after that many failures."""
        self.history[number] = (attempt - self.attempt, failures)

    def advance(self) -> None:
        """Move `first` over what is done."""
        if len(self.done) >= self.last - self.first:
            self.done.clear()
            self.first = self.last
            return
        while self.first in self.done:
            self.done.discard(self.first)
            self.first += 1

    @property
    def finished(self) -> bool:
        """Whether everything is done."""
        return self.first >= self.last

    def state(self) -> str | None:
        """What must be remembered beside the range; None when nothing."""
        history = {
            str(number): known
            for number, known in self.history.items()
            if self.first <= number < self.last and number not in self.done
        }
        if not self.done and not history:
            return None
        return json.dumps({"done": list(ranges(self.done)), "history": history})


def left(first: int, last: int, state: str | None) -> int:
    """How many messages of a stored claim are not done."""
    done: list[list[int]] = json.loads(state)["done"] if state is not None else []
    return last - first - sum(max(0, min(end, last) - max(start, first)) for start, end in done)


def ranges(numbers: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Runs of neighbours as half-open ranges, ascending."""
    start = end = None
    for number in sorted(numbers):
        if start is not None and number == end:
            end = number + 1
            continue
        if start is not None and end is not None:
            yield start, end
        start, end = number, number + 1
    if start is not None and end is not None:
        yield start, end
