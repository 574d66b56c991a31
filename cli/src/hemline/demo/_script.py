"""When the demo has shown what it is to show. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hemline_operator.lifecycle import Event, EventKind

__all__ = ["Progress", "read_progress", "why_finish"]

_SWAPS = (EventKind.PROMOTED, EventKind.ROLLED_BACK)
_DECISIONS = (*_SWAPS, EventKind.REFUSED, EventKind.FINE_TUNE_FAILED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the lifecycle has come. Times are Unix seconds."""

    promoted: tuple[int, ...] = ()
    decided: int = 0
    """Fine-tunes whose version went live, was refused or never came to be."""
    last_decision: float | None = None
    swaps: tuple[tuple[float, str], ...] = ()
    """Each change of the live version, with words for the plot."""


def read_progress(events: Sequence[Event]) -> Progress:
    """Read the lifecycle's events, in order of time."""
    decisions = [event for event in events if event.kind in _DECISIONS]
    return Progress(
        promoted=tuple(
            event.version
            for event in events
            if event.kind == EventKind.PROMOTED and event.version is not None
        ),
        decided=len(decisions),
        last_decision=max((event.at.timestamp() for event in decisions), default=None),
        swaps=tuple(
            (
                event.at.timestamp(),
                f"version {event.version} live"
                if event.kind == EventKind.PROMOTED
                else "rolled back",
            )
            for event in events
            if event.kind in _SWAPS
        ),
    )


def why_finish(
    progress: Progress,
    *,
    now: float,
    stream_began: float,
    seconds: float,
    settle: float,
    patience: float,
) -> str | None:
    """Why the stream should end now; None while there is more to see.

    The demo is over when a version has gone live, a second fine-tune has been decided, and the outcome was seen at
    work for ``settle`` seconds; or when ``seconds`` have passed. On a machine so slow that by then no version is live,
    or none has been seen at work, it goes on for at most ``patience`` seconds more.
    """
    seen = progress.last_decision is not None and now - progress.last_decision >= settle
    if progress.promoted and progress.decided >= 2 and seen:
        return "everything has been shown"
    over = now - stream_began - seconds
    if over >= 0 and progress.promoted and (seen or progress.decided >= 2):
        return f"{seconds:.0f} seconds are over"
    if over >= patience:
        return f"{seconds + patience:.0f} seconds are over"
    return None
