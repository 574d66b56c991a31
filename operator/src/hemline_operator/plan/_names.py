"""Names and labels of everything that belongs to one classifier."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = [
    "CLASSIFIER_LABEL",
    "COMPONENT_LABEL",
    "DESIRED_ANNOTATION",
    "MADE_BY_LABEL",
    "MANAGER",
    "NUDGE_ANNOTATION",
    "ROLLOUT_FILE",
    "Key",
    "Owner",
    "component_labels",
]

MANAGER: Final = "hemline-operator"
CLASSIFIER_LABEL: Final = "hemline.dev/classifier"
COMPONENT_LABEL: Final = "hemline.dev/component"
MADE_BY_LABEL: Final = "hemline.dev/made-by"
"""On FineTunes of the standing policy."""
DESIRED_ANNOTATION: Final = "hemline.dev/desired"
"""A digest of what was applied, so that a field that is no longer wanted is noticed."""
NUDGE_ANNOTATION: Final = "hemline.dev/rollout"
"""On inference pods: a change makes the kubelet look at their ConfigMap at once."""
ROLLOUT_FILE: Final = "rollout.json"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What is reconciled as one: a classifier and everything of it, whether or not the classifier is there."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def inference(self) -> str:
        """Deployment that answers images."""
        return f"{self.name}-inference"

    @property
    def collect(self) -> str:
        """Deployment that fills the lake."""
        return f"{self.name}-collect"

    @property
    def serve(self) -> str:
        """Deployment and headless Service that stream samples."""
        return f"{self.name}-serve"

    @property
    def upkeep(self) -> str:
        """CronJob that keeps the lake fast and small. A CronJob's name has at most 52 characters."""
        return f"{self.name}-upkeep"

    @property
    def rollout(self) -> str:
        """ConfigMap with the rollout document."""
        return f"{self.name}-rollout"

    @property
    def lake(self) -> str:
        """Volume claim of the lake."""
        return f"{self.name}-lake"

    @property
    def account(self) -> str:
        """Service account of the pods (workload identity is bound to it)."""
        return f"{self.name}-hemline"

    @property
    def monitor(self) -> str:
        """PodMonitor of the pods."""
        return f"{self.name}-hemline"

    def fine_tune(self, number: int) -> str:
        """The standing policy's FineTune of this number, counted from 1."""
        return f"{self.name}-{number}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The object that children go with when it is deleted."""

    api_version: str
    kind: str
    name: str
    uid: str

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Owner":
        """The owner that this object would be."""
        meta = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], meta["name"], meta["uid"])

    def reference(self) -> dict[str, Any]:
        """As an owner reference. It blocks no deletion: nothing hangs when the operator is gone."""
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
        }


def component_labels(key: Key, component: str) -> dict[str, str]:
    """Labels of a component's objects and pods."""
    return {
        "app.kubernetes.io/name": f"hemline-{component}",
        "app.kubernetes.io/instance": key.name,
        "app.kubernetes.io/part-of": "hemline",
        "app.kubernetes.io/managed-by": MANAGER,
        CLASSIFIER_LABEL: key.name,
        COMPONENT_LABEL: component,
    }
