"""What the simulator says of itself: on ``/status`` while it runs, in the books file at its end."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from hemline_client_sim._books import Books
from hemline_client_sim._phases import Phases

__all__ = ["BinStatus", "PhaseStatus", "Status", "TallyStatus", "WindowStatus", "make_status"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PhaseStatus(_Model):
    """One phase of the stream."""

    number: int
    name: str
    at: float = Field(description="Planned moment, seconds since the start.")
    started: float | None = Field(description="Unix seconds at which its first image was sent.")


class TallyStatus(_Model):
    """Answers of one version in one phase."""

    phase: int
    version: int
    answered: int
    scored: int = Field(description="Those whose label has been sent.")
    right: int


class WindowStatus(_Model):
    """The newest scored answers of one version."""

    version: int
    right: int
    total: int


class BinStatus(_Model):
    """Scored answers to images sent in [start, start + width) seconds since the start."""

    version: int
    start: float
    width: float
    right: int
    total: int


class Status(_Model):
    """All numbers of a run. Times are Unix seconds unless said otherwise; each image is counted once."""

    run: str
    classifier: str
    seed: int
    state: str = Field(description="starting, streaming, draining or done.")
    started: float
    now: float
    ended: str | None = Field(default=None, description="Why the stream ended.")
    phase: int
    phases: list[PhaseStatus]
    planned_rate: float = Field(description="Images per second asked for.")
    rate: float = Field(description="Images per second sent in the last seconds.")
    label_delay: float = Field(description="Mean delay of a label in real seconds.")
    first_sent: float | None
    first_answer: float | None
    sent: int
    corrupt: int
    answered: int
    unanswered: int = Field(description="Sent and not answered; at the end: lost.")
    refused: int
    corrupt_refused: int
    corrupt_answered: int
    labels: int
    labels_waiting: int
    scored: int
    right: int
    repeats: int = Field(description="Raw repeats of answers; the first one counts.")
    differing: int = Field(description="Of those, with another class or version.")
    unknown: int
    foreign: int
    malformed: int
    latency_p50: float | None = Field(description="Seconds from sending to reading the answer.")
    latency_p99: float | None
    tallies: list[TallyStatus]
    window: list[WindowStatus]
    bins: list[BinStatus]
    counted_twice: int | None = Field(
        default=None, description="By a second count at the end; None before it."
    )
    problems: list[str] = Field(default_factory=list, description="Why the books do not balance.")

    @property
    def lost(self) -> int:
        """Images sent and never answered."""
        return self.unanswered

    @property
    def balanced(self) -> bool:
        """Whether the run has ended with nothing lost, counted twice or unexplained."""
        return self.state == "done" and not self.problems


def make_status(
    books: Books,
    phases: Phases,
    *,
    run: str,
    classifier: str,
    seed: int,
    state: str,
    now: float,
    planned_rate: float,
    rate: float,
    label_delay: float,
) -> Status:
    """Read the books."""
    counts = books.counts
    latencies = sorted(books.latencies)
    return Status(
        run=run,
        classifier=classifier,
        seed=seed,
        state=state,
        started=books.started,
        now=now,
        ended=books.ended.reason if books.ended else None,
        phase=phases.at(now - books.started).number,
        phases=[
            PhaseStatus(
                number=phase.number,
                name=phase.name,
                at=phase.at,
                started=books.phase_starts.get(phase.number),
            )
            for phase in phases.items
        ],
        planned_rate=planned_rate,
        rate=rate,
        label_delay=label_delay,
        first_sent=books.first_sent,
        first_answer=books.first_answer,
        sent=counts.sent,
        corrupt=counts.corrupt,
        answered=counts.answered,
        unanswered=books.unanswered,
        refused=counts.refused,
        corrupt_refused=counts.corrupt_refused,
        corrupt_answered=counts.corrupt_answered,
        labels=counts.labels,
        labels_waiting=books.labels_waiting(),
        scored=counts.scored,
        right=counts.right,
        repeats=counts.repeats,
        differing=counts.differing,
        unknown=counts.unknown,
        foreign=counts.foreign,
        malformed=counts.malformed,
        latency_p50=_quantile(latencies, 0.50),
        latency_p99=_quantile(latencies, 0.99),
        tallies=[
            TallyStatus(
                phase=phase,
                version=version,
                answered=tally.answered,
                scored=tally.scored,
                right=tally.right,
            )
            for (phase, version), tally in sorted(books.tallies.items())
        ],
        window=[
            WindowStatus(version=version, right=share.right, total=share.total)
            for version, share in books.window.shares().items()
        ],
        bins=[
            BinStatus(
                version=item.version,
                start=item.start,
                width=item.width,
                right=item.right,
                total=item.total,
            )
            for item in books.bins.bins()
        ],
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """Nearest-rank quantile."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else None
