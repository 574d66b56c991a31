"""Changes of the state that no decision makes: what a driver did on its own account."""

from datetime import datetime

from hemline_operator.lifecycle._state import State
from hemline_operator.lifecycle._words import Event, EventKind, Note

__all__ = ["interrupted", "record"]


def record(
    state: State, kind: EventKind, note: Note, now: datetime, *, version: int | None = None
) -> State:
    """Add an event of the driver's own to the outbox, beside what is there."""
    event = Event(
        sequence=state.sequence + 1,
        at=now,
        kind=kind,
        reason=note.reason,
        message=note.message,
        version=version,
    )
    # two are enough: the driver empties the outbox into its log at every save
    return state.model_copy(
        update={"sequence": event.sequence, "outbox": (*state.outbox[-1:], event)}
    )


def interrupted(state: State, now: datetime) -> State:
    """The driver has ended the trainer because it ends itself: that start is not counted against the run."""
    run = state.active
    if run is None or run.starts == 0:
        return state
    paused = run.model_copy(
        update={"starts": run.starts - 1, "started_at": None, "down_since": now}
    )
    return state.model_copy(update={"active": paused})
