"""What the operator was told about its cluster, and what it found there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Capabilities", "Images", "Platform"]


@dataclass(frozen=True, slots=True)
class Images:
    """The container image of each component, where a classifier names none."""

    inference: str = "hemline/inference:0.1.0"
    samples: str = "hemline/samples:0.1.0"
    trainer: str = "hemline/trainer:0.1.0"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Versions at which the cluster serves the kinds of other operators; None where it does not."""

    kafka_topic: str | None = None
    kafka_user: str | None = None
    scaled_object: str | None = None
    pod_monitor: str | None = None


def _requests(cpu: str, memory: str, limit: str) -> Mapping[str, Any]:
    # No CPU limit: a pod that is throttled in the middle of a batch is slower than one that shares.
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}


@dataclass(frozen=True, slots=True)
class Platform:
    """Settings that hold for every classifier."""

    images: Images = field(default_factory=Images)
    pull_policy: str = "IfNotPresent"
    pull_secrets: Sequence[str] = ()
    capabilities: Capabilities = field(default_factory=Capabilities)
    inference_resources: Mapping[str, Any] = field(
        default_factory=lambda: _requests("250m", "512Mi", "1Gi")
    )
    samples_resources: Mapping[str, Any] = field(
        default_factory=lambda: _requests("100m", "512Mi", "2Gi")
    )
    trainer_resources: Mapping[str, Any] = field(
        default_factory=lambda: _requests("1", "2Gi", "8Gi")
    )
    user: int = 65532
    """User and group of every pod: also the group that the lake's volume belongs to."""
    poll_seconds: float = 10.0
    """How often samples are counted and pods are asked what they serve."""
    nudge_seconds: float = 5.0
    """How often a pod is nudged that has not taken up a rollout document."""
    prometheus: str | None = None
    """Address of the Prometheus that scrapes the pods, as KEDA reaches it: Pub/Sub is then scaled by our own count of
    what waits, else by Google's."""
