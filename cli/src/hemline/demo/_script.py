"""When the demo has shown what it is to show. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from hemline.top import LifecycleEvent

__all__ = ["Progress", "read_progress", "why_finish"]

_PROMOTED = "Promoted"
_REFUSED = "Refused"
_ROLLED_BACK = "RolledBack"
_FAILED = "FineTuneFailed"
_SWAPS = (_PROMOTED, _ROLLED_BACK)
_DECISIONS = (_PROMOTED, _REFUSED, _ROLLED_BACK, _FAILED)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the lifecycle has come. Times are Unix seconds."""

    promoted: tuple[int, ...] = ()
    decided: int = 0
    """Fine-tunes whose version went live, was refused or never came to be."""
    last_decision: float | None = None
    swaps: tuple[tuple[float, str], ...] = ()
    """Each change of the live version, with words for the plot."""


def read_progress(events: Sequence[LifecycleEvent]) -> Progress:
    """Read the lifecycle's events, in order of time."""
    decisions = [event for event in events if event.kind in _DECISIONS]
    return Progress(
        promoted=tuple(
            event.version
            for event in events
            if event.kind == _PROMOTED and event.version is not None
        ),
        decided=len(decisions),
        last_decision=max((event.at.timestamp() for event in decisions), default=None),
        swaps=tuple(
            (
                event.at.timestamp(),
                f"version {event.version} live" if event.kind == _PROMOTED else "rolled back",
            )
            for event in events
            if event.kind in _SWAPS
        ),
    )


def why_finish(
    progress: Progress, *, now: float, stream_began: float, seconds: float, settle: float
) -> str | None:
    """Why the stream should end now; None while there is more to see.

    The demo is over when a version has gone live, a second fine-tune has been decided, and the outcome was seen at
    work for ``settle`` seconds; or when ``seconds`` have passed.
    """
    if (
        progress.promoted
        and progress.decided >= 2
        and progress.last_decision is not None
        and now - progress.last_decision >= settle
    ):
        return "everything has been shown"
    if now - stream_began >= seconds:
        return f"{seconds:.0f} seconds are over"
    return None
