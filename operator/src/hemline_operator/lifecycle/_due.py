"""When a fine-tune is due, and what it is called."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from hemline_operator.lifecycle._policy import Policy
from hemline_operator.lifecycle._words import Note, Reason

__all__ = ["Due", "due", "fine_tune_uid", "runs_so_far"]


@dataclass(frozen=True, slots=True)
class Due:
    """Whether to begin a fine-tune now, and why or why not."""

    fires: bool
    note: Note


def fine_tune_uid(classifier: str, number: int) -> str:
    """The name of a classifier's ``number``-th fine-tune: the same one after any restart."""
    return f"{classifier}-ft-{number}"


def runs_so_far(classifier: str, uids: Iterable[str | None]) -> int:
    """The greatest number among the uids of this classifier's fine-tunes, 0 without any.

    A driver that lost its state (a new state directory over an old lake) goes on counting from here: a uid that was
    used before would be answered with the old report.
    """
    pattern = re.compile(rf"{re.escape(classifier)}-ft-([0-9]{{1,9}})")
    matches = (pattern.fullmatch(uid) for uid in uids if uid is not None)
    return max((int(match[1]) for match in matches if match), default=0)


def due(
    policy: Policy,
    *,
    fresh: int | None,
    now: datetime,
    last_ended: datetime | None = None,
    running: str | None = None,
    canary: int | None = None,
    pin: int | None = None,
) -> Due:
    """Whether a fine-tune begins now.

    Args:
        policy: the standing policy, or one made of a single run's settings.
        fresh: labelled stream samples since the snapshot of the last attempt, whatever became of that attempt;
            None: not known now.
        now: an aware time.
        last_ended: when the last attempt ended.
        running: uid of a fine-tune that has not ended.
        canary: a version on trial: what a new run should start from is not known until that has ended.
        pin: a pinned version: nothing would be promoted.
    """
    for hinders, reason, message in (
        (running is not None, Reason.RUNNING, f"{running} is under way"),
        (policy.suspended, Reason.SUSPENDED, "fine-tuning is suspended"),
        (pin is not None, Reason.PINNED, f"version {pin} is pinned"),
        (canary is not None, Reason.CANARY_ON_TRIAL, f"version {canary} is on trial"),
        (fresh is None, Reason.SUMMARY_UNKNOWN, "the sample service has not answered yet"),
    ):
        if hinders:
            return Due(fires=False, note=Note(reason, message))
    count = fresh or 0
    progress = f"{count:,} of {policy.every:,} new labelled samples"
    if count < policy.every:
        return Due(fires=False, note=Note(Reason.WAITING_FOR_SAMPLES, progress))
    if last_ended is not None and now < last_ended + policy.cooldown:
        left = (last_ended + policy.cooldown - now).total_seconds()
        message = f"{progress}, cooling down for another {left:,.0f} s"
        return Due(fires=False, note=Note(Reason.COOLDOWN, message))
    return Due(fires=True, note=Note(Reason.DUE, progress))
