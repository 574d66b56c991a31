"""A world without a cluster: enough of one to take a plan's actions in, and to be killed in the middle of them."""

import copy
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from hemline_api.report import Evaluation, SnapshotRef, TrainingReport, Verdict
from hemline_api.resources import API_VERSION, SnapshotStatus
from hemline_operator.plan import (
    COMPONENT_LABEL,
    Announce,
    Apply,
    AskJob,
    AskPod,
    AskReport,
    AskSnapshot,
    AskSummary,
    Create,
    Delete,
    Fact,
    JobAnswer,
    Key,
    Observed,
    Patch,
    Plan,
    Platform,
    PodAnswer,
    Question,
    ReportAnswer,
    Summary,
    Unknown,
    VersionCount,
    plan,
)

Object = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(Exception):
    """The operator died between two writes."""


class World:
    """One namespace with one classifier named mnist."""

    def __init__(self) -> None:
        self.key = Key("shop", "mnist")
        self.platform = Platform()
        self.objects: dict[tuple[str, str], Object] = {}
        self.events: dict[tuple[str, str, str], int] = {}
        self.failures: dict[str, str] = {}
        self.now = START
        self.labelled = 0
        self.versions: dict[int, tuple[int, int]] = {}
        self.snapshots: dict[str, SnapshotStatus] = {}
        self.reports: dict[str, TrainingReport] = {}
        self.serving: dict[str, PodAnswer] = {}
        self.samples_answer = True
        self.writes = 0
        self.kill_after: int | None = None
        self.let_loose: list[str] = []
        self._numbers = itertools.count(1)

    # --- what a person does ---------------------------------------------------------------------------------------

    def put_classifier(self, **spec: Any) -> Object:
        broker = {"type": "Kafka", "address": "kafka:9092"}
        return self._put(API_VERSION, "ImageClassifier", "mnist", {"broker": broker, **spec})

    def put_fine_tune(self, name: str = "now", **spec: Any) -> Object:
        return self._put(API_VERSION, "FineTune", name, {"classifierName": "mnist", **spec})

    def get(self, kind: str, name: str = "mnist") -> Object:
        return self.objects[kind, name]

    def condition(self, kind: str, name: str, condition: str) -> tuple[str, str, str]:
        for one in self.get(kind, name)["status"]["conditions"]:
            if one["type"] == condition:
                return one["status"], one["reason"], one["message"]
        raise AssertionError(f"{kind} {name} has no condition {condition}")

    def edit(self, kind: str, name: str, change: Mapping[str, Any]) -> None:
        self._merge(kind, name, change)

    def delete(self, kind: str, name: str) -> None:
        gone = self.objects.pop((kind, name))
        uid = gone["metadata"]["uid"]
        for (other_kind, other), body in list(self.objects.items()):
            if any(one["uid"] == uid for one in body["metadata"].get("ownerReferences", ())):
                self.delete(other_kind, other)

    # --- what the rest of Kubernetes does -------------------------------------------------------------------------

    def settle(self) -> None:
        """Controllers and the kubelet: volumes bind, pods come up, Jobs that are let loose run."""
        for (kind, name), body in list(self.objects.items()):
            if kind == "PersistentVolumeClaim":
                body.setdefault("status", {})["phase"] = "Bound"
            if kind == "Deployment":
                self._settle_deployment(name, body)
            if kind == "Job" and not body["spec"]["suspend"] and "status" not in body:
                self.let_loose.append(body["metadata"]["uid"])
                body["status"] = {"active": 1}

    def _settle_deployment(self, name: str, body: Object) -> None:
        replicas = body["spec"].get("replicas", 1)
        meta = body["metadata"]
        body["status"] = {
            "observedGeneration": meta["generation"],
            "replicas": replicas,
            "readyReplicas": replicas,
            "availableReplicas": replicas,
        }
        for number in range(replicas):
            pod = f"{name}-{number}"
            if ("Pod", pod) not in self.objects:
                self._put("v1", "Pod", pod, {}, labels=meta["labels"])
                self.objects["Pod", pod]["status"] = {
                    "phase": "Running",
                    "podIP": f"10.0.0.{len(self.objects)}",
                    "conditions": [{"type": "Ready", "status": "True"}],
                }
                if meta["labels"][COMPONENT_LABEL] == "inference":
                    self.serving[pod] = PodAnswer(self._revision())

    def _revision(self) -> int:

        return int(
            json.loads(self.get("ConfigMap", "mnist-rollout")["data"]["rollout.json"])["revision"]
        )

    def mount(self) -> None:
        """The kubelet brings the rollout document to every inference pod."""
        for pod in self.serving:
            self.serving[pod] = PodAnswer(self._revision(), refused=self.serving[pod].refused)

    def report(self, uid: str, **changes: Any) -> TrainingReport:
        fields: dict[str, Any] = {
            "uid": uid,
            "classifier": "mnist",
            "verdict": Verdict.IMPROVED,
            "reasons": ("better on the newest labels",),
            "base_version": 1,
            "version": 2,
            "snapshot": SnapshotRef(images=5, labels=6, predictions=7),
            "samples": 9000,
            "fresh_samples": 500,
            "steps": 250,
            "batch_size": 128,
            "evaluations": (
                Evaluation(
                    name="fresh", samples=100, candidate_accuracy=0.9, incumbent_accuracy=0.5
                ),
            ),
            "started_at": START,
            "finished_at": START + timedelta(minutes=1),
        }
        return TrainingReport.model_validate(fields | changes)

    def finish_job(
        self,
        name: str,
        *,
        kind: str = "Complete",
        reason: str = "",
        in_pod: bool = True,
        **changes: Any,
    ) -> None:
        """The trainer ends, and its report is where reports are."""
        job = self.get("Job", name)
        uid = job["metadata"]["ownerReferences"][0]["uid"]
        report = self.report(uid, **changes) if kind == "Complete" else None
        if report and not in_pod:
            self.reports[uid] = report
        message = report.digest().decode() if report and in_pod else ""
        self._put("v1", "Pod", f"{name}-abcde", {}, owner=job)
        self.objects["Pod", f"{name}-abcde"]["status"] = {
            "phase": "Succeeded",
            "containerStatuses": [
                {"name": "trainer", "state": {"terminated": {"message": message}}}
            ],
        }
        job["status"] = {"conditions": [{"type": kind, "status": "True", "reason": reason}]}

    # --- what the operator does -----------------------------------------------------------------------------------

    def look(self) -> Plan:
        """One look: plan, answer its questions, plan again, take the actions."""
        facts: dict[Question, Fact] = {}
        for _ in range(8):
            planned = plan(self._observed(facts), self.platform)
            if not planned.questions:
                for action in planned.actions:
                    self._take(action)
                return planned
            facts |= {one: self._answer(one) for one in planned.questions}
        raise AssertionError("the plan asks for ever")

    def rest(self) -> Plan:
        """Look and let the cluster settle until nothing is left to do."""
        for _ in range(50):
            self.now += timedelta(seconds=1)
            before = copy.deepcopy(self.objects)
            planned = self.look()
            self.settle()
            if before == self.objects:
                return planned
        raise AssertionError("the plans never come to rest")

    def _observed(self, facts: dict[Question, Fact]) -> Observed:
        of = {
            kind: {
                name: copy.deepcopy(body)
                for (one, name), body in self.objects.items()
                if one == kind
            }
            for kind in {kind for kind, _ in self.objects}
            | {"ImageClassifier", "FineTune", "Job", "Pod"}
        }
        classifier = of["ImageClassifier"].get("mnist")
        return Observed(
            key=self.key,
            now=self.now,
            classifier=classifier,
            fine_tunes=tuple(of["FineTune"].values()),
            children={
                (kind, name): body
                for kind, bodies in of.items()
                if kind not in ("ImageClassifier", "FineTune", "Job", "Pod")
                for name, body in bodies.items()
            },
            jobs=of["Job"],
            pods=of["Pod"],
            facts=facts,
            failures=self.failures,
        )

    def _answer(self, question: Question) -> Fact:
        match question:
            case AskJob():
                return JobAnswer(("Job", question.name) in self.objects)
            case AskPod():
                return self.serving.get(question.name, Unknown("no answer"))
        if not self.samples_answer:
            return Unknown("samples serve is down")
        match question:
            case AskSummary():
                since = question.since[1] if question.since else 0
                return Summary(
                    stream_labelled=self.labelled,
                    fresh_labelled=self.labelled - since,
                    snapshot=(self.labelled, self.labelled, self.labelled),
                    versions=tuple(
                        VersionCount(version, labelled, correct, labelled)
                        for version, (labelled, correct) in self.versions.items()
                    ),
                )
            case AskSnapshot():
                now = SnapshotStatus(
                    images=self.labelled, labels=self.labelled, predictions=self.labelled
                )
                return self.snapshots.setdefault(question.uid, now)
            case AskReport():
                return ReportAnswer(self.reports.get(question.uid))
        raise AssertionError(question)

    def _take(self, action: object) -> None:
        if self.kill_after is not None and self.writes >= self.kill_after:
            self.kill_after = None
            raise Killed
        self.writes += 1
        match action:
            case Apply():
                self._apply(action.manifest)
            case Create():
                meta = action.manifest["metadata"]
                if (action.manifest["kind"], meta["name"]) not in self.objects:
                    self._store(copy.deepcopy(dict(action.manifest)))
            case Patch():
                if (action.kind.name, action.name) in self.objects:
                    version = self.get(action.kind.name, action.name)["metadata"]["resourceVersion"]
                    if action.resource_version not in (None, version):
                        raise AssertionError(f"{action.name} was planned from version {version}")
                    self._merge(action.kind.name, action.name, action.changes)
            case Delete():
                if (action.kind.name, action.name) in self.objects:
                    self.delete(action.kind.name, action.name)
            case Announce():
                told = (action.about["metadata"]["name"], action.reason, action.message)
                self.events[told] = self.events.get(told, 0) + 1

    def _apply(self, manifest: Mapping[str, Any]) -> None:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if (kind, name) in self.objects:
            self._merge(kind, name, manifest)
        else:
            self._store(copy.deepcopy(dict(manifest)))

    def _put(
        self,
        api_version: str,
        kind: str,
        name: str,
        spec: Object,
        *,
        labels: Mapping[str, str] | None = None,
        owner: Object | None = None,
    ) -> Object:
        meta: Object = {"name": name, "namespace": "shop", "labels": dict(labels or {})}
        if owner:
            meta["ownerReferences"] = [{"uid": owner["metadata"]["uid"]}]
        return self._store(
            {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": spec}
        )

    def _store(self, body: Object) -> Object:
        number = next(self._numbers)
        body["metadata"] |= {
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "generation": 1,
            "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        self.objects[body["kind"], body["metadata"]["name"]] = body
        return body

    def _merge(self, kind: str, name: str, changes: Mapping[str, Any]) -> None:
        body = self.get(kind, name)
        before = copy.deepcopy(body)
        _merge(body, changes)
        if body != before:
            body["metadata"]["resourceVersion"] = str(next(self._numbers))
            if body.get("spec") != before.get("spec"):
                body["metadata"]["generation"] += 1


def _merge(into: Object, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if value is None:
            into.pop(name, None)
        elif isinstance(value, Mapping):
            if not isinstance(into.get(name), dict):
                into[name] = {}
            _merge(into[name], value)
        else:
            into[name] = copy.deepcopy(value)
