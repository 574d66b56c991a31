"""The books: what was sent, answered, lost, repeated, right. A state machine over the events of the journal.

Seven bytes an image stay for ever, so that a repeat is known as one however late it comes; everything else about an
image goes when it has been answered and labelled.
"""

from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from hemline_client_sim._events import (
    Answered,
    Ended,
    Event,
    Labelled,
    Planned,
    Refused,
    Resumed,
    Sent,
    Stray,
    StrayKind,
)
from hemline_client_sim._window import AccuracyBins, AccuracyWindow

__all__ = ["Books", "Counts", "Tally"]

_SENT: Final = 1
_ANSWERED: Final = 2
_LABELLED: Final = 4
_REFUSED: Final = 8
_CORRUPT: Final = 16
_PLANNED: Final = 32

_LATENCIES = 1000


@dataclass(slots=True)
class Counts:
    """Images and messages, each image counted once."""

    sent: int = 0  # intact images
    corrupt: int = 0  # sent on purpose as no image
    answered: int = 0
    refused: int = 0  # intact, yet dead-lettered
    corrupt_refused: int = 0
    corrupt_answered: int = 0
    labels: int = 0
    scored: int = 0  # answered, and their label has been sent
    right: int = 0
    repeats: int = 0  # raw repeats of answers
    differing: int = 0  # of those, with another class or version than the one that counts
    unknown: int = 0
    foreign: int = 0
    malformed: int = 0


@dataclass(slots=True)
class Tally:
    """Answers of one version in one phase."""

    answered: int = 0
    scored: int = 0
    right: int = 0


@dataclass(slots=True)
class _Open:
    """An image that is not yet both answered and labelled."""

    plan: Planned
    answer: tuple[int, int] | None = None  # class, version


@dataclass(slots=True)
class Books:
    """The state that follows from the events applied so far.

    Args:
        started: Unix seconds at which the run first began.
        window: answers of each version that the live accuracy is taken over.
    """

    started: float
    window_size: int = 200
    counts: Counts = field(default_factory=Counts)
    tallies: dict[tuple[int, int], Tally] = field(default_factory=dict)  # by phase and version
    phase_starts: dict[int, float] = field(default_factory=dict)  # Unix seconds
    first_sent: float | None = None
    first_answer: float | None = None
    ended: Ended | None = None
    next_n: int = 0
    window: AccuracyWindow = field(init=False)
    bins: AccuracyBins = field(init=False)
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES))
    _owed: int = 0  # labels of sent images that are still to send
    _flags: bytearray = field(default_factory=bytearray)
    _classes: "array[int]" = field(default_factory=lambda: array("H"))
    _versions: "array[int]" = field(default_factory=lambda: array("I"))
    _open: dict[int, _Open] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make what is measured over time."""
        self.window = AccuracyWindow(self.window_size)
        self.bins = AccuracyBins()

    # --- what happens -----------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        """Take one event."""
        match event:
            case Planned():
                self._plan(event)
            case Sent(n):
                self._mark_sent(n)
            case Answered():
                self._answer(event)
            case Refused():
                self._refuse(event)
            case Labelled(n):
                self._label(n)
            case Stray(kind):
                self._stray(kind)
            case Ended():
                self.ended = event
            case Resumed():
                self.ended = None
            case _:
                assert_never(event)

    def _plan(self, plan: Planned) -> None:
        missing = plan.n + 1 - len(self._flags)
        if missing > 0:
            self._flags.extend(bytes(missing))
            self._classes.extend([0] * missing)
            self._versions.extend([0] * missing)
            self.next_n = max(self.next_n, plan.n + 1)
        if self._flags[plan.n] & _SENT:
            return
        self._flags[plan.n] |= _PLANNED
        if plan.corrupt:
            self._flags[plan.n] |= _CORRUPT
        self._open[plan.n] = _Open(plan)

    def _mark_sent(self, n: int) -> None:
        if not self._knows(n) or self._flags[n] & _SENT:
            return
        self._flags[n] |= _SENT
        plan = self._open[n].plan
        if plan.corrupt:
            self.counts.corrupt += 1
        else:
            self.counts.sent += 1
        if plan.told is not None and not self._flags[n] & _LABELLED:
            self._owed += 1
        self.phase_starts.setdefault(plan.phase, plan.at)
        self.first_sent = plan.at if self.first_sent is None else min(self.first_sent, plan.at)

    def _answer(self, answer: Answered) -> None:
        n = answer.n
        if not self._knows(n):
            self.counts.unknown += 1
            return
        # An answer may overtake the broker's word that it has the image.
        self._mark_sent(n)
        if self._flags[n] & _ANSWERED:
            self.counts.repeats += 1
            if (self._classes[n], self._versions[n]) != (answer.label, answer.version):
                self.counts.differing += 1
            return
        self._flags[n] |= _ANSWERED
        self._classes[n], self._versions[n] = answer.label, answer.version
        if self._flags[n] & _CORRUPT:
            self.counts.corrupt_answered += 1
            self._close(n)
            return
        self.counts.answered += 1
        if self.first_answer is None:
            self.first_answer = answer.at
        opened = self._open[n]
        opened.answer = (answer.label, answer.version)
        self.latencies.append(max(answer.at - opened.plan.at, 0.0))
        self._tally(opened.plan.phase, answer.version).answered += 1
        self._settle(n)

    def _refuse(self, refusal: Refused) -> None:
        n = refusal.n
        if not self._knows(n):
            self.counts.unknown += 1
            return
        self._mark_sent(n)
        if self._flags[n] & _REFUSED:
            return
        self._flags[n] |= _REFUSED
        if self._flags[n] & _CORRUPT:
            self.counts.corrupt_refused += 1
            self._close(n)
        else:
            self.counts.refused += 1

    def _label(self, n: int) -> None:
        if not self._knows(n) or self._flags[n] & _LABELLED:
            return
        self._flags[n] |= _LABELLED
        self.counts.labels += 1
        if self._flags[n] & _SENT and self._open[n].plan.told is not None:
            self._owed -= 1
        self._settle(n)

    def _stray(self, kind: StrayKind) -> None:
        match kind:
            case StrayKind.FOREIGN:
                self.counts.foreign += 1
            case StrayKind.UNKNOWN:
                self.counts.unknown += 1
            case StrayKind.MALFORMED:
                self.counts.malformed += 1
            case _:
                assert_never(kind)

    def _settle(self, n: int) -> None:
        opened = self._open[n]
        if opened.answer is None or not self._flags[n] & _LABELLED:
            return
        label, version = opened.answer
        right = label == opened.plan.label
        tally = self._tally(opened.plan.phase, version)
        tally.scored += 1
        tally.right += right
        self.counts.scored += 1
        self.counts.right += right
        self.window.add(version, right=right)
        self.bins.add(version, max(opened.plan.at - self.started, 0.0), right=right)
        self._close(n)

    def _close(self, n: int) -> None:
        self._open.pop(n, None)

    def _tally(self, phase: int, version: int) -> Tally:
        return self.tallies.setdefault((phase, version), Tally())

    def _knows(self, n: int) -> bool:
        return 0 <= n < len(self._flags) and bool(self._flags[n] & _PLANNED)

    # --- what follows -----------------------------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        """Intact images sent and not answered: waiting while the stream runs, lost after the drain."""
        return self.counts.sent - self.counts.answered

    @property
    def unrefused(self) -> int:
        """Corrupt images sent that have not come back as dead letters."""
        return self.counts.corrupt - self.counts.corrupt_refused

    def unsent(self) -> list[Planned]:
        """Images of which nobody knows whether the broker has them."""
        return [
            opened.plan for n, opened in sorted(self._open.items()) if not self._flags[n] & _SENT
        ]

    def unlabelled(self) -> Iterator[Planned]:
        """Images sent whose label has not been."""
        for n, opened in self._open.items():
            flags = self._flags[n]
            if opened.plan.told is not None and flags & _SENT and not flags & _LABELLED:
                yield opened.plan

    def labels_waiting(self) -> int:
        """Labels still to send."""
        return self._owed

    def waiting_plan(self, n: int) -> Planned | None:
        """The plan of an image that has no answer yet; None for every other."""
        opened = self._open.get(n)
        return opened.plan if opened is not None and opened.answer is None else None

    @property
    def settled(self) -> bool:
        """Nothing is outstanding."""
        return not (self.unanswered or self.unrefused or self.labels_waiting())

    def problems(self, *, counted_twice: int = 0) -> Sequence[str]:
        """Why the books do not balance, one line each; none when they do."""
        counts = replace(self.counts)
        found = (
            (self.unanswered, "images were sent and never answered (lost)"),
            (counted_twice, "images were counted twice"),
            (self.unrefused, "corrupt images never came back as dead letters"),
            (counts.refused, "intact images were dead-lettered"),
            (counts.corrupt_answered, "corrupt images were answered"),
            (counts.unknown, "answers carry this run's name but no image it sent"),
            (counts.malformed, "messages on the predictions topic are no predictions"),
            (self.labels_waiting(), "labels could not be sent"),
        )
        return [f"{number:,} {what}" for number, what in found if number]
