"""What the inference pods say they serve."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from hemline_operator.kube import POD
from hemline_operator.plan._actions import Patch
from hemline_operator.plan._conditions import condition, moment, parse_moment
from hemline_operator.plan._names import COMPONENT_LABEL, NUDGE_ANNOTATION
from hemline_operator.plan._observed import AskPod, Observed, PodAnswer, Unknown
from hemline_operator.plan._pods import HTTP_PORT

__all__ = ["InferencePods", "component_pods", "nudges", "ready_pods"]

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InferencePods:
    """The inference pods that are up, each with its answer (None: it did not answer)."""

    answers: Mapping[str, PodAnswer | None]

    def behind(self, revision: int) -> list[str]:
        """Pods that are not known to have this revision."""
        return [
            name
            for name, answer in self.answers.items()
            if answer is None or answer.revision != revision
        ]

    def all_have(self, revision: int) -> bool:
        """Whether every pod has this revision, and there is one."""
        return bool(self.answers) and not self.behind(revision)

    @property
    def refused_by_all(self) -> dict[int, str]:
        """Versions that every pod refuses, with a reason that one of them gave."""
        every = list(self.answers.values())
        if not every or any(answer is None for answer in every):
            return {}
        refused = [answer.refused for answer in every if answer is not None]
        common = set(refused[0]).intersection(*refused[1:])
        return {version: refused[0][version] for version in sorted(common)}

    @property
    def refused(self) -> dict[int, str]:
        """Versions that some pod refuses, with its reason."""
        return {
            version: reason
            for answer in self.answers.values()
            if answer is not None
            for version, reason in answer.refused.items()
        }


def component_pods(observed: Observed, component: str) -> list[Manifest]:
    """Pods of a component that are up and not on their way out, with an address."""
    return [
        pod
        for pod in observed.pods.values()
        if pod["metadata"].get("labels", {}).get(COMPONENT_LABEL) == component
        and "deletionTimestamp" not in pod["metadata"]
        and pod.get("status", {}).get("phase") == "Running"
        and pod.get("status", {}).get("podIP")
    ]


def ready_pods(observed: Observed, component: str) -> list[Manifest]:
    """Those of them that are ready."""
    pods = component_pods(observed, component)
    return [pod for pod in pods if (condition(pod, "Ready") or {}).get("status") == "True"]


def questions(observed: Observed) -> dict[str, AskPod]:
    """What to ask which inference pod."""
    return {
        pod["metadata"]["name"]: AskPod(
            pod["metadata"]["name"], f"{pod['status']['podIP']}:{HTTP_PORT}"
        )
        for pod in component_pods(observed, "inference")
    }


def inference_pods(observed: Observed) -> InferencePods:
    """The pods with the answers that came."""
    answers: dict[str, PodAnswer | None] = {}
    for name, question in questions(observed).items():
        fact = observed.facts.get(question)
        answers[name] = None if fact is None or isinstance(fact, Unknown) else _answer(fact)
    return InferencePods(answers)


def _answer(fact: object) -> PodAnswer | None:
    return fact if isinstance(fact, PodAnswer) else None


def nudges(
    observed: Observed, pods: InferencePods, revision: int, *, every_seconds: float
) -> list[Patch]:
    """Annotations that make the kubelet look at the ConfigMap now, for pods that are behind.

    Repeated, because the kubelet may look before its own copy of the ConfigMap has arrived.
    """
    patches = []
    for name in pods.behind(revision):
        meta = observed.pods[name]["metadata"]
        before, _, at = meta.get("annotations", {}).get(NUDGE_ANNOTATION, "").partition("@")
        recent = bool(at) and observed.now - parse_moment(at) < timedelta(seconds=every_seconds)
        if before == str(revision) and recent:
            continue
        value = f"{revision}@{moment(observed.now)}"
        patches.append(
            Patch(
                POD,
                observed.key.namespace,
                name,
                None,
                {"metadata": {"annotations": {NUDGE_ANNOTATION: value}}},
            )
        )
    return patches
