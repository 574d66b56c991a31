"""The FineTunes of one classifier: who waits, who starts, what the standing policy makes, what is cleaned up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from hemline_api.resources import API_VERSION, ClassifierSpec, Mode, SnapshotStatus
from hemline_operator.kube import FINE_TUNE
from hemline_operator.lifecycle import Due, Policy, Reason, due
from hemline_operator.plan._actions import Action, Announce, Create, Delete
from hemline_operator.plan._conditions import moment
from hemline_operator.plan._follow import Step, not_over
from hemline_operator.plan._names import MADE_BY_LABEL, Key, Owner, component_labels
from hemline_operator.plan._observed import AskSnapshot, Observed, Summary, Unknown
from hemline_operator.plan._runs import Attempt, Run, greatest_number
from hemline_operator.plan._serving import Serving

__all__ = ["Situation", "surplus", "wait_or_start", "wanted_by_policy"]

Manifest = Mapping[str, Any]

_POLICY: Final = "policy"


@dataclass(frozen=True, slots=True)
class Situation:
    """What every waiting run of a classifier is up against.

    Args:
        key: the classifier's name.
        spec: its spec.
        serving: what is in force.
        last: the attempt that samples are counted from.
        summary: the counts; None or the reason where nobody answered.
        why_no_summary: that reason.
    """

    key: Key
    spec: ClassifierSpec
    serving: Serving
    last: Attempt | None
    summary: Summary | None
    why_no_summary: str = ""

    @property
    def fresh(self) -> int | None:
        """Labelled stream samples since the last attempt; None: not known."""
        return self.summary.fresh_labelled if self.summary else None

    def due(
        self, observed: Observed, *, every: int, running: str | None, cooldown: timedelta
    ) -> Due:
        """The lifecycle's answer to whether a run that waits for so many samples begins now."""
        canary = self.serving.rollout.canary
        return due(
            Policy(every=every, cooldown=cooldown),
            fresh=self.fresh,
            now=observed.now,
            last_ended=self.last.finished_at if self.last else None,
            running=running,
            canary=canary.version if canary else None,
            pin=self.spec.model.version,
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run's next step, and whether it holds the others up."""

    step: Step
    takes_the_turn: bool = False


def wait_or_start(
    observed: Observed, run: Run, situation: Situation, *, running: str | None
) -> Waiting:
    """What a run that was not started does now: wait with its progress, or begin.

    To begin is to put the snapshot and the Job's name on record. The Job itself comes after that, in the next pass.
    """
    if run.spec is None:
        return Waiting(not_over("InvalidSpec", run.problem or "the spec is invalid"))
    if run.suspended:
        return Waiting(not_over("Suspended", "spec.suspend is Enabled"))
    decision = situation.due(
        observed, every=run.spec.after_samples, running=running, cooldown=timedelta(0)
    )
    counted = {"samples": situation.fresh} if situation.fresh is not None else {}
    if not decision.fires:
        # On a run's own condition "Running" would mean this one.
        reason = "WaitingForTurn" if running else decision.note.reason
        message = decision.note.message
        if situation.fresh is None and not running and situation.why_no_summary:
            message = situation.why_no_summary
        elif decision.note.reason is Reason.WAITING_FOR_SAMPLES:
            message += _overtaken(run.spec.after_samples, situation.spec)
        return Waiting(not_over(reason, message, status=counted))
    question = AskSnapshot(run.uid)
    fact = observed.facts.get(question)
    if fact is None:
        waiting = not_over("TakingSnapshot", "the data set is being fixed")
        return Waiting(Step(waiting.findings, questions=frozenset({question})), takes_the_turn=True)
    if not isinstance(fact, SnapshotStatus):
        why = fact.why if isinstance(fact, Unknown) else "no answer"
        return Waiting(not_over("TakingSnapshot", why, status=counted), takes_the_turn=True)
    message = (
        f"started with {decision.note.message}, from version {situation.serving.rollout.stable}"
    )
    step = not_over(
        "JobPending",
        message,
        status={
            **counted,
            "job": {"name": run.name},
            "baseVersion": situation.serving.rollout.stable,
            "snapshot": fact.model_dump(by_alias=True),
            "startedAt": moment(observed.now),
        },
        after=(Announce(run.manifest, "FineTuneStarted", message),),
    )
    return Waiting(step, takes_the_turn=True)


def _overtaken(after_samples: int, spec: ClassifierSpec) -> str:
    policy = spec.fine_tune
    if policy.mode is Mode.DISABLED or policy.every >= after_samples:
        return ""
    return (
        f"; the standing policy takes every {policy.every:,} for a run of its own, so that they may never be so many:"
        f" apply one with afterSamples up to {policy.every:,}, or set spec.fineTune.mode of the classifier to Disabled"
    )


def wanted_by_policy(
    observed: Observed,
    runs: Sequence[Run],
    situation: Situation,
    *,
    running: str | None,
    counted: int,
) -> tuple[Due, int, Sequence[Action]]:
    """Whether the standing policy makes a FineTune now: its answer, how many it has made, and what to do."""
    policy = situation.spec.fine_tune
    counted = greatest_number(situation.key, runs, counted)
    unfinished = next((run.name for run in runs if run.by_policy and not run.finished), None)
    decision = situation.due(
        observed,
        every=policy.every,
        running=running or unfinished,
        cooldown=timedelta(seconds=policy.cooldown_seconds),
    )
    if policy.mode is Mode.DISABLED or not decision.fires or observed.classifier is None:
        return decision, counted, ()
    number = counted + 1
    name = situation.key.fine_tune(number)
    manifest = {
        "apiVersion": API_VERSION,
        "kind": FINE_TUNE.name,
        "metadata": {
            "name": name,
            "namespace": situation.key.namespace,
            "labels": component_labels(situation.key, "fine-tune") | {MADE_BY_LABEL: _POLICY},
            "ownerReferences": [Owner.of(observed.classifier).reference()],
        },
        "spec": {"classifierName": situation.key.name, "afterSamples": policy.every},
    }
    told = Announce(observed.classifier, "FineTuneDue", f"{name}: {decision.note.message}")
    return decision, number, (Create(manifest), told)


def surplus(runs: Sequence[Run], spec: ClassifierSpec, key: Key) -> list[Delete]:
    """The standing policy's finished runs beyond those that are kept, oldest first."""
    over = sorted(
        (run for run in runs if run.by_policy and run.finished and not run.undecided),
        key=lambda run: run.status.finished_at or "",
    )
    return [
        Delete(FINE_TUNE, key.namespace, run.name, run.uid)
        for run in over[: max(0, len(over) - spec.fine_tune.keep)]
    ]
