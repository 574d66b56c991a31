"""One FineTune that was started: its Job is made, let loose, followed to its end and its report read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hemline_api import BadReport
from hemline_api.report import TrainingReport
from hemline_operator.kube import JOB
from hemline_operator.plan._actions import Action, Announce, Create, Patch
from hemline_operator.plan._conditions import Finding, condition, moment
from hemline_operator.plan._observed import (
    AskJob,
    AskReport,
    JobAnswer,
    Observed,
    Question,
    ReportAnswer,
    Unknown,
)
from hemline_operator.plan._runs import Run

__all__ = ["Step", "follow_job"]

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """What one look at a run comes to.

    Args:
        findings: its conditions.
        status: what else to record.
        before: actions that come before the record, ``after``: those that must not be taken without it.
        questions: what must be known first.
        report: what the run found, once it ended with one.
        keep_others: conditions that are not named stay as they are.
    """

    findings: tuple[Finding, ...]
    status: Mapping[str, Any] = field(default_factory=dict)
    before: tuple[Action, ...] = ()
    after: tuple[Action, ...] = ()
    questions: frozenset[Question] = frozenset()
    report: TrainingReport | None = None
    keep_others: bool = False

    def with_promotion(self, finding: Finding) -> "Step":
        """The same step with another answer to whether the version goes live."""
        others = (one for one in self.findings if one.type != finding.type)
        return replace(self, findings=(*others, finding))


def not_over(reason: str, message: str, **changes: Any) -> Step:
    """A run that goes on."""
    return Step(
        findings=(
            Finding("Succeeded", "Unknown", reason, message),
            Finding("Promoted", "Unknown", "NotFinished", "the run has not ended"),
        ),
        **changes,
    )


def follow_job(observed: Observed, run: Run, manifest: Manifest) -> Step:
    """The next step of a run that was started.

    Args:
        observed: what is known.
        run: the run, with ``status.job`` on record.
        manifest: its Job as it would be made.
    """
    record = run.status.job
    job = observed.jobs.get(run.name)
    if job is not None and not _owned(job, run.uid):
        return not_over(
            "JobNameTaken", f"a Job {run.name} that is not of this FineTune is in the way"
        )
    if record is None or record.uid is None:
        if job is None:
            return not_over("JobPending", "the Job is being made", before=(Create(manifest),))
        # Only a Job whose uid is on record is let loose: one that is gone afterwards is not made again.
        return not_over(
            "JobPending",
            "the Job was made",
            status={"job": {"name": run.name, "uid": job["metadata"]["uid"]}},
        )
    if job is None:
        question = AskJob(run.name)
        answer = observed.facts.get(question)
        if answer is None:
            return not_over("JobPending", "looking for the Job", questions=frozenset({question}))
        if answer != JobAnswer(there=False):
            return not_over("JobPending", "waiting to see the Job")
        return _ended(observed, run, (), "JobGone", "the Job was deleted before it ended")
    for kind in ("Complete", "Failed"):
        end = condition(job, kind)
        if end and end["status"] == "True":
            pods = _pods_of(observed, job)
            reason = end.get("reason") or kind
            message = end.get("message") or "the Job ended without a report"
            return _ended(
                observed, run, pods, "ReportMissing" if kind == "Complete" else reason, message
            )
    wanted = run.suspended
    queued = "kueue.x-k8s.io/queue-name" in job["metadata"].get("labels", {})
    is_suspended = bool(job["spec"].get("suspend"))
    if is_suspended != wanted and not (queued and not wanted):
        change = Patch(
            JOB,
            observed.key.namespace,
            run.name,
            job["metadata"]["resourceVersion"],
            {"spec": {"suspend": wanted}},
        )
        word = "suspended" if wanted else "let loose"
        return not_over("JobPending", f"the Job is being {word}", before=(change,))
    if is_suspended:
        return (
            not_over("Suspended", "the Job is suspended")
            if wanted
            else not_over("Queued", "the Job waits in its queue")
        )
    return _running(observed, job)


def _running(observed: Observed, job: Manifest) -> Step:
    for pod in _pods_of(observed, job):
        scheduled = condition(pod, "PodScheduled")
        if scheduled and scheduled["status"] == "False":
            return not_over("Unschedulable", scheduled.get("message", "no node takes the pod"))
        for container in pod.get("status", {}).get("containerStatuses") or ():
            if waiting := container.get("state", {}).get("waiting"):
                return not_over(
                    "PodWaiting", f"{waiting.get('reason')}: {waiting.get('message', '')}"
                )
    active = job.get("status", {}).get("active", 0)
    failed = job.get("status", {}).get("failed", 0)
    if not active:
        return not_over("JobPending", "the Job has no pod yet")
    again = f", started {failed + 1} times" if failed else ""
    return not_over("Running", f"training{again}")


def _ended(
    observed: Observed, run: Run, pods: Iterable[Manifest], reason: str, message: str
) -> Step:
    report = _termination_report(pods, run.uid)
    if report is None:
        question = AskReport(run.uid)
        fact = observed.facts.get(question)
        if fact is None:
            return not_over("Ending", "the report is being read", questions=frozenset({question}))
        if isinstance(fact, Unknown):
            return not_over("Ending", f"the report cannot be read yet: {fact.why}")
        report = fact.report if isinstance(fact, ReportAnswer) else None
    now = moment(observed.now)
    if report is None:
        return Step(
            findings=(
                Finding("Succeeded", "False", reason, message),
                Finding("Promoted", "False", reason, "there is no version to promote"),
            ),
            status={"finishedAt": now},
            after=(Announce(run.manifest, "FineTuneFailed", f"{reason}: {message}", "Warning"),),
        )
    words = report.reasons[0] if report.reasons else report.verdict.value
    improved = report.promotable
    return Step(
        findings=(
            Finding("Succeeded", "True" if improved else "False", report.verdict.value, words),
            Finding("Promoted", "False", report.verdict.value, words),
        ),
        status={
            "finishedAt": now,
            "verdict": report.verdict.value,
            "modelVersion": report.version,
            "metrics": _metrics(report),
        },
        after=(
            Announce(
                run.manifest,
                "FineTuneEnded",
                f"{report.verdict.value}: {words}",
                "Normal" if improved else "Warning",
            ),
        ),
        report=report,
    )


def _metrics(report: TrainingReport) -> list[dict[str, str]]:
    numbers: dict[str, str] = {
        "samples": str(report.samples),
        "freshSamples": str(report.fresh_samples),
        "steps": str(report.steps),
        "seconds": f"{(report.finished_at - report.started_at).total_seconds():.0f}",
    }
    for one in report.evaluations:
        numbers[f"{one.name}HeldOut"] = str(one.samples)
        numbers[f"{one.name}CandidateAccuracy"] = f"{one.candidate_accuracy:.4f}"
        numbers[f"{one.name}IncumbentAccuracy"] = f"{one.incumbent_accuracy:.4f}"
        if one.p_value is not None:
            numbers[f"{one.name}PValue"] = f"{one.p_value:.3g}"
    return [{"name": name, "value": value} for name, value in numbers.items()]


def _owned(job: Manifest, uid: str) -> bool:
    return any(one["uid"] == uid for one in job["metadata"].get("ownerReferences") or ())


def _pods_of(observed: Observed, job: Manifest) -> list[Manifest]:
    uid = job["metadata"]["uid"]
    return [pod for pod in observed.pods.values() if _owned(pod, uid)]


def _termination_report(pods: Iterable[Manifest], uid: str) -> TrainingReport | None:
    """The report in a pod's termination message. What is no report of this run is none: anybody may write there."""
    for pod in pods:
        for container in pod.get("status", {}).get("containerStatuses") or ():
            ended = container.get("state", {}).get("terminated") or {}
            try:
                report = TrainingReport.from_json((ended.get("message") or "").encode())
            except BadReport:
                continue
            if report.uid == uid:
                return report
    return None
