"""A second count, straight from the journal and sharing nothing with the books but the file.

The books are kept event by event over restarts; this reads the file once at the end and counts in the plainest way.
Where the two differ, something was counted twice or not at all.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hemline_client_sim._books import Books
from hemline_client_sim._events import Answered, Event, Planned

__all__ = ["Audit", "audit"]


@dataclass(frozen=True, slots=True)
class Audit:
    """What the plain count found."""

    answered: int  # distinct intact images with an answer
    by_version: dict[int, int]  # the same, by the version of the first answer
    repeats: int

    def counted_twice(self, books: Books) -> int:
        """Answers that the books hold beyond one an image (negative never: too few count as well)."""
        kept: Counter[int] = Counter()
        for (_, version), tally in books.tallies.items():
            kept[version] += tally.answered
        versions = kept.keys() | self.by_version.keys()
        by_version = sum(
            abs(kept[version] - self.by_version.get(version, 0)) for version in versions
        )
        return max(
            by_version,
            abs(books.counts.answered - self.answered),
            abs(books.counts.repeats - self.repeats),
        )


def audit(events: Iterable[Event]) -> Audit:
    """Count the events of a whole journal."""
    corrupt: dict[int, bool] = {}
    first: dict[int, int] = {}
    repeats = 0
    for event in events:
        if isinstance(event, Planned):
            corrupt[event.n] = event.corrupt
        elif isinstance(event, Answered) and event.n in corrupt:
            if event.n in first:
                repeats += 1
            else:
                first[event.n] = event.version
    intact = {n: version for n, version in first.items() if not corrupt[n]}
    return Audit(len(intact), dict(Counter(intact.values())), repeats)
