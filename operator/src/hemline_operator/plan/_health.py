"""The conditions of a classifier."""

from collections.abc import Mapping, Sequence
from typing import Any

from hemline_api.resources import BrokerType, ClassifierSpec, Mode
from hemline_operator.plan._conditions import Finding, condition
from hemline_operator.plan._names import Key
from hemline_operator.plan._observed import Observed
from hemline_operator.plan._platform import Platform
from hemline_operator.plan._pod_state import InferencePods

__all__ = ["findings", "invalid"]

Manifest = Mapping[str, Any]


def invalid(problem: str) -> list[Finding]:
    """The condition of a classifier that this operator cannot read."""
    return [Finding("Ready", "False", "InvalidSpec", problem)]


def findings(
    observed: Observed,
    spec: ClassifierSpec,
    platform: Platform,
    pods: InferencePods,
    revision: int,
    samples_problem: str | None,
) -> list[Finding]:
    """Every condition, ``Ready`` first: true when all the others are, else with the first that is not.

    Args:
        observed: what is known.
        spec: the classifier.
        platform: the operator's settings.
        pods: the inference pods.
        revision: of the rollout document in force.
        samples_problem: why samples cannot be counted; None: they can.
    """
    key = observed.key
    parts = [
        _applied(observed),
        _topics(spec, platform),
        _storage(observed, spec),
        _deployed(observed, "SamplesAvailable", key.collect, key.serve),
        _counted(samples_problem),
        _deployed(observed, "InferenceAvailable", key.inference),
        _current(pods, revision),
        *_autoscaled(spec, platform),
    ]
    wrong = next((one for one in parts if one.status != "True"), None)
    ready = (
        Finding("Ready", "True", "Serving", f"version {_live(observed)} answers".strip())
        if wrong is None
        else Finding("Ready", "False", wrong.reason, f"{wrong.type}: {wrong.message}")
    )
    return [ready, *parts]


def _live(observed: Observed) -> str:
    status = (observed.classifier or {}).get("status") or {}
    return str(status.get("liveVersion") or 1)


def _applied(observed: Observed) -> Finding:
    if not observed.failures:
        return Finding("Applied", "True", "Applied", "every object is as it should be")
    what, why = next(iter(sorted(observed.failures.items())))
    return Finding("Applied", "False", "ApplyFailed", f"{what}: {why}")


def _topics(spec: ClassifierSpec, platform: Platform) -> Finding:
    if not spec.broker.strimzi_cluster:
        who = "Pub/Sub" if spec.broker.type is BrokerType.PUB_SUB else "Kafka"
        return Finding(
            "TopicsReady", "True", "MadeByServices", f"the services make their topics in {who}"
        )
    missing = [
        name
        for name, version, wanted in (
            ("KafkaTopic", platform.capabilities.kafka_topic, True),
            ("KafkaUser", platform.capabilities.kafka_user, spec.broker.sasl is not None),
        )
        if wanted and version is None
    ]
    if missing:
        return Finding(
            "TopicsReady",
            "False",
            "StrimziMissing",
            f"this cluster serves no {' and no '.join(missing)}: install Strimzi, or unset broker.strimziCluster",
        )
    return Finding("TopicsReady", "True", "Applied", "topics are resources of Strimzi")


def _storage(observed: Observed, spec: ClassifierSpec) -> Finding:
    if spec.storage.uri:
        return Finding("StorageReady", "True", "ObjectStore", spec.storage.uri)
    name = observed.key.lake
    claim = observed.children.get(("PersistentVolumeClaim", name))
    phase = (claim or {}).get("status", {}).get("phase", "Pending")
    if phase == "Bound":
        return Finding("StorageReady", "True", "Bound", f"claim {name} is bound")
    return Finding("StorageReady", "False", f"Claim{phase}", f"claim {name} is {phase.lower()}")


def _deployed(observed: Observed, kind: str, *names: str) -> Finding:
    ready = wanted = 0
    for name in names:
        deployment = observed.children.get(("Deployment", name))
        if deployment is None:
            return Finding(
                kind, "False", "DeploymentMissing", f"deployment {name} is not there yet"
            )
        status = deployment.get("status", {})
        replicas = deployment.get("spec", {}).get("replicas", 1)
        available = status.get("availableReplicas", 0)
        ready, wanted = ready + available, wanted + replicas
        if status.get("observedGeneration") != deployment["metadata"].get("generation"):
            return Finding(kind, "False", "Progressing", f"deployment {name} is being looked at")
        if available < replicas:
            return Finding(
                kind,
                "False",
                _why_not(deployment),
                f"{available} of {replicas} pods of {name} are available",
            )
    if not wanted:
        return Finding(kind, "True", "ScaledToZero", "no pods are wanted now")
    return Finding(kind, "True", "Available", f"{ready} of {wanted} pods are available")


def _why_not(deployment: Manifest) -> str:
    progressing = condition(deployment, "Progressing")
    failing = progressing is not None and progressing["status"] == "False"
    return str(progressing["reason"]) if progressing and failing else "PodsNotAvailable"


def _counted(problem: str | None) -> Finding:
    if problem is None:
        return Finding("SamplesCounted", "True", "Counted", "samples serve answers")
    return Finding("SamplesCounted", "False", "SamplesUnavailable", problem)


def _current(pods: InferencePods, revision: int) -> Finding:
    kind = "ModelCurrent"
    if not pods.answers:
        return Finding(kind, "True", "NoPods", "no inference pod runs now")
    behind = pods.behind(revision)
    if not behind:
        return Finding(
            kind, "True", "Current", f"{len(pods.answers)} pods serve revision {revision}"
        )
    for version, reason in pods.refused.items():
        return Finding(kind, "False", "Refused", f"version {version} is refused: {reason}")
    return Finding(
        kind,
        "False",
        "Behind",
        f"{len(behind)} of {len(pods.answers)} pods have not said that they serve revision {revision}",
    )


def _autoscaled(spec: ClassifierSpec, platform: Platform) -> Sequence[Finding]:
    if spec.inference.autoscaling.mode is Mode.DISABLED:
        return ()
    kind = "Autoscaled"
    if platform.capabilities.scaled_object is None:
        why = "this cluster serves no ScaledObject: install KEDA, or disable inference.autoscaling"
        return (Finding(kind, "False", "KedaMissing", why),)
    return (Finding(kind, "True", "Applied", "KEDA scales the inference pods"),)


def selector_text(key: Key) -> str:
    """The inference pods' label selector, as the scale subresource gives it."""
    return f"app.kubernetes.io/name=hemline-inference,app.kubernetes.io/instance={key.name}"
