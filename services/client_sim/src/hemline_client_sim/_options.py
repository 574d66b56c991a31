"""What a run of the simulator is made of."""

from dataclasses import dataclass, field
from pathlib import Path

from hemline_client_sim._phases import Phases
from hemline_client_sim._schedule import Schedule

__all__ = ["Limits", "Options"]


@dataclass(frozen=True, slots=True)
class Limits:
    """When the stream ends, and how long it waits for what is outstanding."""

    count: int | None = None
    """Images to send; None: no limit."""
    duration: float | None = None
    """Seconds of real time since the stream's start; None: no limit."""
    drain: float = 30.0
    """Seconds to wait, after the stream has ended, for answers and for labels that are not due yet. Labels that are
    still waiting then are sent at once, so that none is missing; answers still missing are lost."""


@dataclass(frozen=True, slots=True)
class Options:
    """One run."""

    run: str
    """Name of the run, first part of every image id."""
    classifier: str
    namespace: str
    data: str
    """Path or name of the data set whose test split is streamed."""
    schedule: Schedule
    drifts: tuple[str, ...]
    phases: Phases
    books: Path
    """The final books; the journal lies beside it with the suffix ``.jsonl``."""
    resume: bool = False
    limits: Limits = field(default_factory=Limits)
    window: int = 200
    """Newest answers of each version that the live accuracy is taken over."""
    console: bool = False
    """Whether each answer is printed."""

    @property
    def journal(self) -> Path:
        """The journal's path."""
        return self.books.with_suffix(".jsonl")
