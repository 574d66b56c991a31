"""What serves: the document in force, what changes it, and which pods have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hemline_api import BadRollout
from hemline_api.report import SnapshotRef
from hemline_api.resources import ClassifierSpec, Mode, RolloutStatus
from hemline_api.rollout import Canary, Rollout
from hemline_operator.lifecycle import (
    BadState,
    CanaryMemory,
    CanaryPolicy,
    Change,
    Score,
    Trial,
    follow_pin,
    follow_refusals,
    initial_rollout,
    weigh,
)
from hemline_operator.plan._names import ROLLOUT_FILE, Key
from hemline_operator.plan._observed import Summary
from hemline_operator.plan._pod_state import InferencePods

__all__ = ["Serving", "canary_policy", "changed", "in_force", "next_change"]

_FIRST_VERSION = 1


@dataclass(frozen=True, slots=True)
class Serving:
    """What is decided about serving: recorded in the classifier's status, from which the ConfigMap is made."""

    rollout: Rollout
    previous: int | None = None
    pin: int | None = None
    memory: CanaryMemory | None = None

    def to_status(self) -> dict[str, Any]:
        """As the status records it."""
        canary = self.rollout.canary
        return {
            "revision": self.rollout.revision,
            "stable": self.rollout.stable,
            "canary": {"version": canary.version, "fraction": f"{canary.fraction:g}"}
            if canary
            else None,
            "previous": self.previous,
            "pin": self.pin,
            "memory": self.memory.to_json() if self.memory else None,
        }


def in_force(key: Key, status: RolloutStatus | None, children: Mapping[Any, Any]) -> Serving:
    """What is in force: what the status says; else what a classifier of this name left behind; else version 1."""
    if status is not None:
        canary = (
            Canary(version=status.canary.version, fraction=float(status.canary.fraction))
            if status.canary
            else None
        )
        rollout = Rollout(revision=status.revision, stable=status.stable, canary=canary)
        return Serving(rollout, status.previous, status.pin, _memory(status.memory))
    left = children.get(("ConfigMap", key.rollout), {})
    try:
        return Serving(Rollout.from_json(left.get("data", {}).get(ROLLOUT_FILE, "").encode()))
    except BadRollout:
        return Serving(initial_rollout(_FIRST_VERSION))


def _memory(text: str | None) -> CanaryMemory | None:
    try:
        return CanaryMemory.from_json(text) if text else None
    except BadState:
        return None


def canary_policy(spec: ClassifierSpec) -> CanaryPolicy:
    """The classifier's canary settings in the lifecycle's words."""
    canary = spec.fine_tune.canary
    return CanaryPolicy(
        fraction=float(canary.fraction) if canary.mode is Mode.ENABLED else None,
        min_labelled=canary.min_labelled,
    )


def next_change(
    spec: ClassifierSpec,
    serving: Serving,
    pods: InferencePods,
    summary: Summary | None,
    now: datetime,
) -> tuple[Serving, Change | None]:
    """What a pin, a refusal or a trial changes now: at most one thing."""
    pin = spec.model.version
    change = follow_pin(serving.rollout, pin=pin, known=None, before=serving.pin)
    if change is not None:
        after = changed(serving, change, now)
        return Serving(after.rollout, after.previous, pin, after.memory), change
    if pin is None:
        refusal = follow_refusals(
            serving.rollout, refused=pods.refused_by_all, previous=serving.previous
        )
        if refusal is not None:
            return changed(serving, refusal, now), refusal
    if serving.rollout.canary is None or summary is None:
        return serving, None
    memory = serving.memory or CanaryMemory(
        version=serving.rollout.canary.version,
        revision=serving.rollout.revision,
        began_at=now,
    )
    if memory.since is None:
        if not pods.all_have(serving.rollout.revision):
            return serving, None
        images, labels, predictions = summary.snapshot
        since = SnapshotRef(images=images, labels=labels, predictions=predictions)
        memory = memory.model_copy(update={"since": since})
        return Serving(serving.rollout, serving.previous, serving.pin, memory), None
    weighed = weigh(serving.rollout, _trial(serving.rollout, summary), canary_policy(spec))
    if weighed.kind is None:
        return serving, None
    return changed(serving, weighed, now), weighed


def _trial(rollout: Rollout, summary: Summary) -> Trial:
    scores = {one.version: Score(one.labelled, one.correct) for one in summary.versions}
    nothing = Score(0, 0)
    canary = rollout.canary
    return Trial(
        revision=rollout.revision,
        stable=scores.get(rollout.stable, nothing),
        canary=scores.get(canary.version, nothing) if canary else nothing,
    )


def changed(serving: Serving, change: Change, now: datetime) -> Serving:
    """What is in force after a decision of the lifecycle."""
    rollout = change.rollout
    if rollout is None:
        return serving
    memory = None
    if rollout.canary:
        memory = CanaryMemory(
            version=rollout.canary.version, revision=rollout.revision, began_at=now
        )
    moved = rollout.stable != serving.rollout.stable
    previous = serving.rollout.stable if moved else serving.previous
    return Serving(rollout, previous, serving.pin, memory)
