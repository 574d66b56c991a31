"""One namespace of a test: what is put there, what is looked at, what is waited for."""

import json
from typing import Any

from hemline_operator.kube import CLASSIFIER, CONFIG_MAP, FINE_TUNE, Kind
from hemline_operator.testing._cluster import Cluster

__all__ = ["Stage", "condition"]

BROKER = {"type": "Kafka", "address": "kafka:9092"}
NOWHERE = {"hemline.dev/played": "true"}
"""Labels that no node has: where there are nodes, the player's pods are left to the player."""


def condition(manifest: dict[str, Any] | None, kind: str) -> dict[str, Any]:
    """A condition of an object, empty where it has none of that type."""
    for one in (manifest or {}).get("status", {}).get("conditions", ()):
        if one["type"] == kind:
            return dict(one)
    return {}


class Stage:
    """A namespace of a real API server, seen by a test."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster = cluster
        self.namespace = namespace

    def classifier(self, name: str = "mnist", **spec: Any) -> None:
        """Apply an ImageClassifier."""
        manifest = {"metadata": {"name": name}, "spec": _nowhere({"broker": BROKER, **spec})}
        self.cluster.create(CLASSIFIER, self.namespace, manifest)

    def fine_tune(self, name: str = "now", **spec: Any) -> str:
        """Apply a FineTune of mnist; its uid."""
        manifest = {"metadata": {"name": name}, "spec": {"classifierName": "mnist", **spec}}
        made = self.cluster.create(FINE_TUNE, self.namespace, manifest)
        return str(made["metadata"]["uid"])

    def get(self, kind: Kind, name: str = "mnist") -> dict[str, Any] | None:
        """An object of the namespace."""
        return self.cluster.get(kind, self.namespace, name)

    def rollout(self) -> dict[str, Any]:
        """The rollout document of mnist, empty where there is none."""
        found = self.get(CONFIG_MAP, "mnist-rollout")
        return dict(json.loads(found["data"]["rollout.json"])) if found else {}

    def wait_condition(
        self, kind: Kind, name: str, type_: str, reason: str, *, seconds: float = 90.0
    ) -> dict[str, Any]:
        """Wait until a condition of an object has a reason."""

        seen: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            seen.update(condition(self.get(kind, name), type_))
            return seen if seen.get("reason") == reason else None

        try:
            return self.cluster.wait(f"{type_} {reason}", look, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{kind.name} {name}: {error}; last seen: {seen}") from error

    def wait_ready(self, name: str = "mnist") -> None:
        """Wait until a classifier is ready."""
        self.wait_condition(CLASSIFIER, name, "Ready", "Serving")


def _nowhere(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec whose pods no node takes, unless it says itself where they go."""

    def placed(part: dict[str, Any]) -> dict[str, Any]:
        return {"nodeSelector": NOWHERE, **part}

    samples = spec.get("samples", {})
    return {
        **spec,
        **{name: placed(spec.get(name, {})) for name in ("inference", "trainer")},
        "samples": {name: placed(samples.get(name, {})) for name in ("collect", "serve", "upkeep")},
    }
