"""The next steps for one classifier, as one pure function of what is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from hemline_api.report import TrainingReport
from hemline_api.resources import ClassifierSpec, ClassifierStatus, Mode
from hemline_operator.kube import CLASSIFIER, FINE_TUNE
from hemline_operator.lifecycle import Change, judge
from hemline_operator.plan import _pod_state
from hemline_operator.plan._actions import Action, Announce, Apply, Delete, Patch, Plan
from hemline_operator.plan._children import desired
from hemline_operator.plan._compare import contains
from hemline_operator.plan._conditions import (
    Finding,
    condition,
    merged,
    moment,
    parse_moment,
    status_changes,
)
from hemline_operator.plan._fine_tunes import (
    Situation,
    surplus,
    wait_or_start,
    wanted_by_policy,
)
from hemline_operator.plan._follow import Step, follow_job, not_over
from hemline_operator.plan._health import findings, invalid, selector_text
from hemline_operator.plan._job import job
from hemline_operator.plan._names import Owner
from hemline_operator.plan._observed import AskSummary, Observed, Question, Summary, Unknown
from hemline_operator.plan._optional import optional, scaling_ends
from hemline_operator.plan._platform import Platform
from hemline_operator.plan._runs import Attempt, Run, describe, last_attempt, runs_of
from hemline_operator.plan._serving import (
    Serving,
    canary_policy,
    changed,
    in_force,
    next_change,
)

__all__ = ["plan"]

Manifest = Mapping[str, Any]


def plan(observed: Observed, platform: Platform) -> Plan:
    """The next steps for one classifier.

    Taken in order and broken off anywhere, they can be planned again from what is then there: whatever follows from a
    decision comes after the decision is on record.
    """
    classifier = observed.classifier
    runs = runs_of(observed.fine_tunes)
    if classifier is None or "deletionTimestamp" in classifier["metadata"]:
        why = f"there is no ImageClassifier {observed.key.name}"
        return Plan(_all_wait(observed, runs, "ClassifierNotFound", why))
    try:
        spec = ClassifierSpec.model_validate(classifier["spec"])
    except ValidationError as error:
        problem = describe(error)
        actions = _status(observed, classifier, {}, invalid(problem))
        return Plan([*actions, *_all_wait(observed, runs, "ClassifierInvalid", problem)])
    return _Planning(observed, platform, classifier, spec, runs).plan()


def _all_wait(observed: Observed, runs: Sequence[Run], reason: str, why: str) -> list[Action]:
    actions: list[Action] = []
    for run in runs:
        if not run.finished:
            actions += _record(observed, run, not_over(reason, why))
    return actions


@dataclass
class _Planning:
    """One plan in the making."""

    observed: Observed
    platform: Platform
    classifier: Manifest
    spec: ClassifierSpec
    runs: Sequence[Run]
    questions: set[Question] = field(default_factory=set)
    steps: dict[str, Step] = field(default_factory=dict)
    told: list[Announce] = field(default_factory=list)

    def plan(self) -> Plan:
        observed, key = self.observed, self.observed.key
        status = ClassifierStatus.model_validate(self.classifier.get("status") or {})
        serving = in_force(key, status.rollout, observed.children)
        self.questions.update(_pod_state.questions(observed).values())
        pods = _pod_state.inference_pods(observed)
        last = last_attempt(self.runs, _recorded(status))
        summary, problem = self._summary(last, serving)

        serving, change = next_change(self.spec, serving, pods, summary, observed.now)
        self._tell(change)
        serving = self._follow_jobs(serving)
        self._settle_promotions(serving)
        situation = Situation(key, self.spec, serving, last, summary, problem or "")
        number, makes = self._start(situation, status.fine_tunes or 0)

        unanswered = frozenset(one for one in self.questions if one not in observed.facts)
        if unanswered:
            return Plan(questions=unanswered)

        wanted = self._wanted_status(serving, situation, number, last)
        conditions = findings(
            observed, self.spec, self.platform, pods, serving.rollout.revision, problem
        )
        # A decision about what serves is on record before anything that follows from it, and a run's end after it.
        actions: list[Action] = [*self._unscale()]
        actions += _status(observed, self.classifier, wanted, conditions)
        actions += [*self.told, *self._children(serving)]
        revision = serving.rollout.revision
        every = self.platform.nudge_seconds
        actions += _pod_state.nudges(observed, pods, revision, every_seconds=every)
        for run in self.runs:
            if run.name in self.steps:
                actions += _record(observed, run, self.steps[run.name])
        actions += [*makes, *surplus(self.runs, self.spec, key)]
        behind = bool(pods.behind(revision))
        return Plan(actions, again_seconds=1.0 if behind else self.platform.poll_seconds)

    def _summary(self, last: Attempt | None, serving: Serving) -> tuple[Summary | None, str | None]:
        since = last.snapshot if last else None
        trial = serving.memory.since if serving.memory else None
        question = AskSummary(
            since=(since.images, since.labels, since.predictions) if since else None,
            answered_since=(trial.images, trial.labels, trial.predictions) if trial else None,
        )
        if not _pod_state.ready_pods(self.observed, "serve"):
            return None, "no pod of samples serve is ready"
        self.questions.add(question)
        fact = self.observed.facts.get(question)
        if isinstance(fact, Summary):
            return fact, None
        return None, fact.why if isinstance(fact, Unknown) else "samples serve was not asked yet"

    def _tell(self, change: Change | None) -> None:
        if change is not None and change.kind is not None:
            self.told.append(Announce(self.classifier, change.kind.value, change.note.message))

    def _follow_jobs(self, serving: Serving) -> Serving:
        for run in self.runs:
            if run.finished or not run.started:
                continue
            step = follow_job(self.observed, run, self._job(run))
            self.questions.update(step.questions)
            if step.report is not None:
                serving, step = self._judge(serving, step, step.report)
            self.steps[run.name] = step
        return serving

    def _job(self, run: Run) -> Manifest:
        spec = run.spec
        return job(
            self.observed.key,
            Owner.of(run.manifest),
            self.spec,
            (spec.trainer if spec else None) or self.spec.trainer,
            (spec.gate if spec else None) or self.spec.fine_tune.gate,
            self.platform,
            base_version=run.status.base_version or 1,
        )

    def _judge(self, serving: Serving, step: Step, report: TrainingReport) -> tuple[Serving, Step]:
        """What a report means for what serves. Asked again after a crash, the answer is that it serves already."""
        change = judge(
            report,
            serving.rollout,
            pin=self.spec.model.version,
            canary=canary_policy(self.spec),
        )
        self._tell(change)
        serving = changed(serving, change, self.observed.now)
        promoted = _promoted(serving, report.version) or Finding(
            "Promoted", "False", change.note.reason, change.note.message
        )
        return serving, step.with_promotion(promoted)

    def _settle_promotions(self, serving: Serving) -> None:
        """Runs whose version was on trial: it went live, or it did not."""
        for run in self.runs:
            if run.undecided and run.name not in self.steps:
                version = run.status.model_version
                promoted = _promoted(serving, version) or Finding(
                    "Promoted", "False", "RolledBack", f"version {version} did not hold its trial"
                )
                self.steps[run.name] = Step((promoted,), keep_others=True)

    def _start(self, situation: Situation, counted: int) -> tuple[int, Sequence[Action]]:
        running = next((run.name for run in self.runs if run.started and not run.finished), None)
        for run in self.runs:
            if run.started or run.finished:
                continue
            waiting = wait_or_start(self.observed, run, situation, running=running)
            self.questions.update(waiting.step.questions)
            self.steps[run.name] = waiting.step
            if waiting.takes_the_turn:
                running = run.name
        _, number, actions = wanted_by_policy(
            self.observed, self.runs, situation, running=running, counted=counted
        )
        return number, actions

    def _wanted_status(
        self, serving: Serving, situation: Situation, number: int, last: Attempt | None
    ) -> dict[str, Any]:
        key, summary = self.observed.key, situation.summary
        canary = serving.rollout.canary
        deployment = self.observed.children.get(("Deployment", key.inference), {})
        wanted: dict[str, Any] = {
            "liveVersion": serving.rollout.stable,
            "canaryVersion": canary.version if canary else None,
            "rollout": serving.to_status(),
            "fineTunes": number,
            "replicas": deployment.get("status", {}).get("replicas", 0),
            "readyReplicas": deployment.get("status", {}).get("readyReplicas", 0),
            "selector": selector_text(key),
        }
        if last is not None:
            wanted["lastFineTune"] = {
                "name": last.name,
                "uid": last.uid,
                "snapshot": last.snapshot.model_dump(by_alias=True),
                "startedAt": moment(last.started_at),
                "finishedAt": moment(last.finished_at) if last.finished_at else None,
            }
        if summary is not None:
            wanted["labelledSamples"] = summary.stream_labelled
            wanted["freshSamples"] = summary.fresh_labelled
            wanted["liveAccuracy"] = _accuracy(summary, serving.rollout.stable)
        return wanted

    def _unscale(self) -> list[Delete]:
        # The condition is the record of what was applied: it goes once the objects are gone.
        was_scaled = condition(self.classifier, "Autoscaled") is not None
        is_scaled = self.spec.inference.autoscaling.mode is Mode.ENABLED
        if is_scaled or not was_scaled or self.platform.capabilities.scaled_object is None:
            return []
        return scaling_ends(self.observed.key)

    def _children(self, serving: Serving) -> list[Action]:
        key, owner = self.observed.key, Owner.of(self.classifier)
        there = self.observed.children
        actions: list[Action] = [
            Apply(child)
            for child in desired(key, owner, self.spec, serving.rollout, self.platform)
            if not contains(there.get((child["kind"], child["metadata"]["name"])), child)
        ]
        return actions + [Apply(one) for one in optional(key, owner, self.spec, self.platform)]


def _recorded(status: ClassifierStatus) -> Attempt | None:
    last = status.last_fine_tune
    if last is None or last.started_at is None:
        return None
    finished = parse_moment(last.finished_at) if last.finished_at else None
    return Attempt(last.name, last.uid, last.snapshot, parse_moment(last.started_at), finished)


def _promoted(serving: Serving, version: int | None) -> Finding | None:
    """Where a version stands; None: it does not serve."""
    rollout = serving.rollout
    if version == rollout.stable:
        return Finding("Promoted", "True", "Promoted", f"version {version} is live")
    if rollout.canary and version == rollout.canary.version:
        share = f"{rollout.canary.fraction:.0%}"
        return Finding(
            "Promoted", "Unknown", "CanaryOnTrial", f"version {version} answers {share} on trial"
        )
    return None


def _accuracy(summary: Summary, version: int) -> str | None:
    for one in summary.versions:
        if one.version == version and one.labelled:
            return f"{one.correct / one.labelled:.3f}"
    return None


def _status(
    observed: Observed, manifest: Manifest, wanted: Manifest, conditions: Sequence[Finding]
) -> list[Action]:
    """A patch of the classifier's status, if anything in it changes."""
    full = {
        **wanted,
        "observedGeneration": manifest["metadata"].get("generation"),
        "conditions": merged(manifest, conditions, observed.now),
    }
    changes = status_changes(manifest.get("status") or {}, full)
    if not changes:
        return []
    meta = manifest["metadata"]
    return [
        Patch(
            CLASSIFIER,
            meta["namespace"],
            meta["name"],
            meta["resourceVersion"],
            {"status": changes},
            "status",
        )
    ]


def _record(observed: Observed, run: Run, step: Step) -> list[Action]:
    """A run's step: what comes before the record, the record, what comes after it."""
    kept = []
    if step.keep_others:
        named = {finding.type for finding in step.findings}
        kept = [
            dict(one)
            for one in run.manifest["status"].get("conditions", ())
            if one["type"] not in named
        ]
    meta = run.manifest["metadata"]
    full = {
        **step.status,
        "observedGeneration": meta.get("generation"),
        "conditions": [*kept, *merged(run.manifest, step.findings, observed.now)],
    }
    changes = status_changes(run.manifest.get("status") or {}, full)
    if not changes:
        return [*step.before]
    patch = Patch(
        FINE_TUNE,
        meta["namespace"],
        meta["name"],
        meta["resourceVersion"],
        {"status": changes},
        "status",
    )
    return [*step.before, patch, *step.after]
