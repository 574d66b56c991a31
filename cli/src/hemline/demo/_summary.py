"""What the demo showed, computed from predictions and labels that really travelled. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hemline_client_sim import Status, TallyStatus

__all__ = ["HeldOut", "LakeCount", "Stage", "Summary", "make_summary"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Live accuracy in one stage of the demo."""

    right: int
    total: int

    @property
    def accuracy(self) -> float | None:
        """As a fraction; None when nothing was scored."""
        return self.right / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class LakeCount:
    """What the lake holds of the run: rows of answered samples, and distinct images among them."""

    rows: int
    images: int

    @property
    def counted_twice(self) -> int:
        """Images that would enter a training run more than once."""
        return self.rows - self.images


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One version on the odd-indexed official test images, which never travel."""

    version: int
    right: int
    total: int

    @property
    def accuracy(self) -> float:
        """As a fraction."""
        return self.right / self.total


@dataclass(frozen=True, slots=True)
class Summary:
    """The demo in numbers."""

    books: Status
    first_version: int
    promoted: tuple[int, ...]
    """Versions that went live, in order."""
    before: Stage
    during: Stage
    after_first: Stage
    end: Stage
    lake: LakeCount | None
    held_out: tuple[HeldOut, ...]
    """First and last version."""
    first_answer_seconds: float | None
    """From the demo's start to the first prediction read."""

    @property
    def given_back_first(self) -> float | None:
        """Share of the lost accuracy that the first swap gave back."""
        return self._given_back(self.after_first)

    @property
    def given_back_end(self) -> float | None:
        """Share of the lost accuracy that the last version gives back."""
        return self._given_back(self.end)

    @property
    def held_out_loss(self) -> float | None:
        """Points of accuracy that the last version lost against the first on the held-out images."""
        if len(self.held_out) < 2:
            return None
        return 100.0 * (self.held_out[0].accuracy - self.held_out[-1].accuracy)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the demo did not end well; none when it did."""
        found = [f"books: {problem}" for problem in self.books.problems]
        if self.books.state != "done":
            found.append("the books were not closed")
        if self.books.sent == 0:
            found.append("no image was sent")
        if not self.promoted:
            found.append("no new version went live")
        if self.lake is not None:
            if self.lake.counted_twice:
                found.append(f"the lake counts {self.lake.counted_twice:,} images twice")
            if self.lake.images != self.books.scored:
                found.append(
                    f"the lake has {self.lake.images:,} answered and labelled images of this run, "
                    f"the books {self.books.scored:,}"
                )
        return tuple(found)

    def _given_back(self, stage: Stage) -> float | None:
        before, during, now = self.before.accuracy, self.during.accuracy, stage.accuracy
        if before is None or during is None or now is None or before <= during:
            return None
        return (now - during) / (before - during)


def make_summary(
    books: Status,
    *,
    promoted: Sequence[int],
    lake: LakeCount | None,
    held_out: Sequence[HeldOut],
    demo_started: float,
) -> Summary:
    """Put the numbers together.

    Args:
        books: of the finished simulator.
        promoted: versions that went live during the demo, in order.
        lake: what the lake counts of the run.
        held_out: first and last version on images that never travelled.
        demo_started: Unix seconds.
    """
    versions = sorted({tally.version for tally in books.tallies})
    first = next((version for version in versions if version not in promoted), 1)
    last = promoted[-1] if promoted else first

    def drifted_by(version: int) -> Stage:
        return _stage(books.tallies, lambda tally: tally.phase > 0 and tally.version == version)

    return Summary(
        books=books,
        first_version=first,
        promoted=tuple(promoted),
        before=_stage(books.tallies, lambda tally: tally.phase == 0),
        during=drifted_by(first),
        after_first=drifted_by(promoted[0]) if promoted else Stage(0, 0),
        end=drifted_by(last) if promoted else Stage(0, 0),
        lake=lake,
        held_out=tuple(held_out),
        first_answer_seconds=(
            books.first_answer - demo_started if books.first_answer is not None else None
        ),
    )


def _stage(tallies: Sequence[TallyStatus], belongs: Callable[[TallyStatus], bool]) -> Stage:
    chosen = [tally for tally in tallies if belongs(tally)]
    return Stage(sum(tally.right for tally in chosen), sum(tally.scored for tally in chosen))
