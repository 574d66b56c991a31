"""The whole lifecycle as one function: a state and what was observed give the next state and what to do.

A driver repeats: observe, ``step``, store the new state durably, add its outbox to the log, carry out the effects.
Killed anywhere, it goes on from the stored state: an effect is either planned again (all of them are idempotent) or
already counted in it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from hemline_api.report import SnapshotRef, TrainingReport
from hemline_api.rollout import Rollout
from hemline_operator.lifecycle._canary import CanaryMemory, Trial, weigh
from hemline_operator.lifecycle._due import due, fine_tune_uid
from hemline_operator.lifecycle._policy import Policy
from hemline_operator.lifecycle._rollout import (
    follow_pin,
    follow_refusals,
    initial_rollout,
    judge,
)
from hemline_operator.lifecycle._run import RunAction, follow
from hemline_operator.lifecycle._state import Attempt, FineTune, State
from hemline_operator.lifecycle._words import Change, Event, EventKind, Note, Reason

__all__ = [
    "Effect",
    "Fresh",
    "Observed",
    "Plan",
    "StartTrainer",
    "StopTrainer",
    "TakeSnapshot",
    "begin",
    "step",
]


@dataclass(frozen=True, slots=True)
class Fresh:
    """A count and the snapshot it was taken since: one for another snapshot says nothing and is ignored."""

    since: SnapshotRef | None
    labelled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What a driver sees now. What it does not know stays at its default: nothing is decided by it then."""

    fresh: Fresh | None = None
    """Labelled stream samples since ``State.since``."""

    snapshots: Mapping[str, SnapshotRef] = field(default_factory=dict)
    """Snapshots taken, by the uid of the fine-tune they were taken for."""

    trainer_alive: bool = False
    """A trainer of the active fine-tune is there."""

    report: TrainingReport | None = None
    """The report of the active fine-tune; one of another uid is ignored."""

    trial: Trial | None = None
    """Counts of both versions since the canary's trial began."""

    served: tuple[int, SnapshotRef] | None = None
    """A revision that every inference process has, and the lake as it was seen after that."""

    refused: Mapping[int, str] = field(default_factory=dict)
    """Versions that every inference process refuses, with the reason."""

    pin: int | None = None
    """The version that the user wants pinned."""

    known: Collection[int] | None = None
    """Versions in the lake; None: not known."""


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Take the snapshot of this fine-tune, tagged with its uid."""

    uid: str


@dataclass(frozen=True, slots=True)
class StartTrainer:
    """Start a trainer for this fine-tune. The start is counted in the state already."""

    run: FineTune


@dataclass(frozen=True, slots=True)
class StopTrainer:
    """End the trainer of this fine-tune."""

    uid: str


Effect = TakeSnapshot | StartTrainer | StopTrainer


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows: store ``state`` if it is new, then carry out ``effects``. ``note`` says why in words."""

    state: State
    note: Note
    effects: tuple[Effect, ...] = ()


def begin(classifier: str, version: int, *, created: int = 0) -> State:
    """The state of a classifier that has none: ``version`` serves, ``created`` fine-tunes were begun before."""
    return State(classifier=classifier, rollout=initial_rollout(version), created=created)


def step(policy: Policy, state: State, observed: Observed, now: datetime) -> Plan:
    """Decide what comes next: at most one transition.

    Args:
        policy: what the user wants.
        state: what is stored.
        observed: what is seen.
        now: an aware time; the function has no clock of its own.
    """
    for attend in (_attend_pin, _attend_refusals, _attend_canary):
        plan = attend(policy, state, observed, now)
        if plan is not None:
            return plan
    if state.active is not None:
        return _attend_run(policy, state, state.active, observed, now)
    return _attend_due(policy, state, observed, now)


def _attend_pin(policy: Policy, state: State, observed: Observed, now: datetime) -> Plan | None:
    if observed.pin is not None and observed.pin == state.refused_pin:
        known = observed.known
        if known is None or observed.pin not in known:
            return None
    change = follow_pin(state.rollout, pin=observed.pin, known=observed.known, before=state.pin)
    if change is None:
        cleared = state.refused_pin is not None and observed.pin != state.refused_pin
        if not cleared:
            return None
        note = Note(Reason.UNPINNED, "the refused pin was withdrawn")
        return Plan(state.model_copy(update={"refused_pin": None}), note)
    if change.kind is EventKind.PIN_REFUSED:
        update = {"refused_pin": observed.pin}
    else:
        update = {"pin": observed.pin, "refused_pin": None}
    return Plan(_changed(state, change, now).model_copy(update=update), change.note)


def _attend_refusals(
    policy: Policy, state: State, observed: Observed, now: datetime
) -> Plan | None:
    if state.pin is not None:
        return None  # what a user pinned is not taken away; inference goes on with what it has
    change = follow_refusals(state.rollout, refused=observed.refused, previous=state.previous)
    return None if change is None else Plan(_changed(state, change, now), change.note)


def _attend_canary(policy: Policy, state: State, observed: Observed, now: datetime) -> Plan | None:
    if state.rollout.canary is None or state.canary is None:
        return None
    if state.canary.since is None:
        if observed.served is None or observed.served[0] != state.rollout.revision:
            return None
        memory = state.canary.model_copy(update={"since": observed.served[1]})
        message = f"version {memory.version} answers its share everywhere: counting from here"
        note = Note(Reason.CANARY_ON_TRIAL, message)
        return Plan(state.model_copy(update={"canary": memory}), note)
    change = weigh(state.rollout, observed.trial, policy.canary)
    if change.kind is None:
        # nothing else begins during a trial, so its progress is what there is to say
        return Plan(state, change.note) if state.active is None else None
    return Plan(_changed(state, change, now), change.note)


def _attend_run(
    policy: Policy, state: State, run: FineTune, observed: Observed, now: datetime
) -> Plan:
    if run.snapshot is None:
        taken = observed.snapshots.get(run.uid)
        if taken is None:
            note = Note(Reason.TAKING_SNAPSHOT, f"{run.uid}: taking its snapshot")
            return Plan(state, note, (TakeSnapshot(run.uid),))
        run = run.model_copy(update={"snapshot": taken})
        note = Note(Reason.STARTING, f"{run.uid}: reads its own snapshot from now on")
        return Plan(state.model_copy(update={"active": run}), note)
    report = observed.report if observed.report and observed.report.uid == run.uid else None
    if not observed.trainer_alive and run.starts and run.down_since is None:
        run = run.model_copy(update={"down_since": now})
        state = state.model_copy(update={"active": run})
    decision = follow(
        policy.limits,
        starts=run.starts,
        started_at=run.started_at,
        down_since=run.down_since,
        alive=observed.trainer_alive,
        reported=report is not None,
        now=now,
    )
    note = Note(decision.note.reason, f"{run.uid}: {decision.note.message}")
    match decision.action:
        case RunAction.STOP:
            return Plan(state, note, (StopTrainer(run.uid),))
        case RunAction.START:
            return _start(state, run, note, now)
        case RunAction.GIVE_UP:
            ended = _ended(state, run, note.reason, None, now)
            event = _event(ended, EventKind.FINE_TUNE_FAILED, note, now, uid=run.uid)
            return Plan(_log(ended, event), note)
        case RunAction.JUDGE if report is not None:
            return _judged(policy, state, run, report, now)
        case _:
            return Plan(state, note)


def _attend_due(policy: Policy, state: State, observed: Observed, now: datetime) -> Plan:
    fresh = observed.fresh
    count = fresh.labelled if fresh is not None and fresh.since == state.since else None
    decision = due(
        policy,
        fresh=count,
        now=now,
        last_ended=state.last.ended_at if state.last else None,
        canary=state.rollout.canary.version if state.rollout.canary else None,
        pin=state.pin,
    )
    if not decision.fires:
        return Plan(state, decision.note)
    number = state.created + 1
    run = FineTune(
        uid=fine_tune_uid(state.classifier, number),
        number=number,
        base_version=state.rollout.stable,
        fresh=count or 0,
        created_at=now,
    )
    message = f"{run.uid} is due: {decision.note.message}, from version {run.base_version}"
    note = Note(Reason.DUE, message)
    event = _event(state, EventKind.FINE_TUNE_DUE, note, now, uid=run.uid, version=run.base_version)
    new = state.model_copy(update={"created": number, "active": run})
    return Plan(_log(new, event), note, (TakeSnapshot(run.uid),))


def _start(state: State, run: FineTune, note: Note, now: datetime) -> Plan:
    again = run.starts > 0 or run.down_since is not None
    kind = EventKind.FINE_TUNE_RETRIED if again else EventKind.FINE_TUNE_STARTED
    started = run.model_copy(
        update={"starts": run.starts + 1, "started_at": now, "down_since": None}
    )
    event = _event(state, kind, note, now, uid=run.uid, version=run.base_version)
    new = _log(state.model_copy(update={"active": started}), event)
    return Plan(new, note, (StartTrainer(started),))


def _judged(
    policy: Policy, state: State, run: FineTune, report: TrainingReport, now: datetime
) -> Plan:
    change = judge(report, state.rollout, pin=state.pin, canary=policy.canary)
    ended = _ended(state, run, report.verdict.value, report.version, now)
    message = f"{run.uid} ended: {report.verdict.value}"
    if report.reasons:
        message += f", {report.reasons[0]}"
    note = Note(report.verdict.value, message)
    event = _event(ended, EventKind.FINE_TUNE_ENDED, note, now, uid=run.uid, version=report.version)
    return Plan(_changed(_log(ended, event), change, now, uid=run.uid, keep=True), change.note)


def _ended(state: State, run: FineTune, outcome: str, version: int | None, now: datetime) -> State:
    attempt = Attempt(
        uid=run.uid,
        number=run.number,
        base_version=run.base_version,
        snapshot=run.snapshot,
        starts=run.starts,
        ended_at=now,
        outcome=outcome,
        version=version,
    )
    return state.model_copy(update={"active": None, "last": attempt, "ended": state.ended + 1})


def _changed(
    state: State, change: Change, now: datetime, *, uid: str | None = None, keep: bool = False
) -> State:
    event = change.event(state.sequence + 1, now, uid)
    if event is not None:
        state = _log(state, event, keep=keep)
    if change.rollout is None:
        return state
    update: dict[str, Rollout | CanaryMemory | int | None] = {
        "rollout": change.rollout,
        "canary": None,
    }
    if change.rollout.canary is not None:
        update["canary"] = CanaryMemory(
            version=change.rollout.canary.version, revision=change.rollout.revision, began_at=now
        )
    if change.rollout.stable != state.rollout.stable:
        update["previous"] = state.rollout.stable
    if change.kind is EventKind.PROMOTED:
        update["promoted"] = state.promoted + 1
    return state.model_copy(update=update)


def _event(
    state: State,
    kind: EventKind,
    note: Note,
    now: datetime,
    *,
    uid: str,
    version: int | None = None,
) -> Event:
    return Event(
        sequence=state.sequence + 1,
        at=now,
        kind=kind,
        reason=note.reason,
        message=note.message,
        version=version,
        uid=uid,
    )


def _log(state: State, event: Event, *, keep: bool = False) -> State:
    outbox = (*state.outbox, event) if keep else (event,)
    return state.model_copy(update={"sequence": event.sequence, "outbox": outbox})
