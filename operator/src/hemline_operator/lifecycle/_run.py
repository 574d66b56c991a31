"""What to do with a fine-tune that has begun: start its trainer, wait, start again, stop, judge, give up."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hemline_operator.lifecycle._policy import RunLimits
from hemline_operator.lifecycle._words import Note, Reason

__all__ = ["RunAction", "RunDecision", "follow"]


class RunAction(StrEnum):
    """The next step of a run."""

    WAIT = "Wait"
    START = "Start"
    STOP = "Stop"
    JUDGE = "Judge"
    GIVE_UP = "GiveUp"


@dataclass(frozen=True, slots=True)
class RunDecision:
    """The next step of a run and why."""

    action: RunAction
    note: Note


def follow(
    limits: RunLimits,
    *,
    starts: int,
    started_at: datetime | None,
    down_since: datetime | None,
    alive: bool,
    reported: bool,
    now: datetime,
) -> RunDecision:
    """The next step of a run.

    Args:
        limits: how often and how long a trainer may try.
        starts: trainers started so far for this run, all with its one uid.
        started_at: when the last of them was started.
        down_since: when the last of them was first seen to have ended.
        alive: a trainer of this run is there.
        reported: its report is there. A report ends the run whatever the trainer's exit code was: it is written last.
        now: an aware time.
    """
    running_for = now - started_at if started_at is not None else None
    overdue = running_for is not None and running_for > limits.deadline
    limit = f"{limits.deadline.total_seconds():,.0f} s"
    if alive and overdue:
        message = f"the trainer has run for more than {limit}"
        return RunDecision(RunAction.STOP, Note(Reason.DEADLINE_EXCEEDED, message))
    if alive and reported:
        return RunDecision(RunAction.WAIT, Note(Reason.ENDING, "the report is in"))
    if alive:
        return RunDecision(RunAction.WAIT, Note(Reason.RUNNING, "training"))
    if reported:
        return RunDecision(RunAction.JUDGE, Note(Reason.COMPLETED, "the report is in"))
    if starts == 0:
        return RunDecision(RunAction.START, Note(Reason.STARTING, "starting the trainer"))
    if starts > limits.retries:
        message = f"the trainer ended {starts} times without a report"
        if overdue and limits.retries == 0:
            message = f"the trainer was stopped after {limit}"
            return RunDecision(RunAction.GIVE_UP, Note(Reason.DEADLINE_EXCEEDED, message))
        return RunDecision(RunAction.GIVE_UP, Note(Reason.BACKOFF_LIMIT_EXCEEDED, message))
    if down_since is None or now < down_since + limits.wait_after(starts):
        wait = limits.wait_after(starts).total_seconds()
        message = f"the trainer ended without a report, starting again after {wait:,.0f} s"
        return RunDecision(RunAction.WAIT, Note(Reason.BACKOFF, message))
    message = f"starting the trainer again (start {starts + 1} of {limits.retries + 1})"
    return RunDecision(RunAction.START, Note(Reason.STARTING, message))
