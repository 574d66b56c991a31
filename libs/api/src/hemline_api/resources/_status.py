"""The status of both resources: what the operator last saw and decided."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from hemline_api.resources._base import Condition, Status

__all__ = [
    "AttemptStatus",
    "CanaryStatus",
    "ClassifierStatus",
    "FineTuneStatus",
    "JobStatus",
    "MetricStatus",
    "RolloutStatus",
    "SnapshotStatus",
]

Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Text = Annotated[str, Field(max_length=1024)]
Conditions = Annotated[
    Sequence[Condition],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class SnapshotStatus(Status):
    """Versions of the lake's three tables: the data set of a run, repeatable exactly."""

    images: Annotated[int, Field(ge=0)] = Field(description="Version of the images' table.")
    labels: Annotated[int, Field(ge=0)] = Field(description="Version of the labels' table.")
    predictions: Annotated[int, Field(ge=0)] = Field(
        description="Version of the predictions' table."
    )


class CanaryStatus(Status):
    """A version on trial."""

    version: int = Field(description="The version on trial.")
    fraction: Text = Field(description="Share of the images that it answers.")


class RolloutStatus(Status):
    """The decision that the rollout ConfigMap carries, and what the next one needs to know."""

    revision: int = Field(description="Grows with every change.")
    stable: int = Field(description="The version that answers.")
    canary: CanaryStatus | None = Field(default=None, description="A version on trial beside it.")
    previous: int | None = Field(default=None, description="The version that answered before.")
    pin: int | None = Field(default=None, description="The pin that was followed.")
    memory: Annotated[str, Field(max_length=4096)] | None = Field(
        default=None, description="What must be remembered of a trial, as JSON."
    )


class AttemptStatus(Status):
    """The last fine-tune that was started."""

    name: Text = Field(description="Name of the FineTune.")
    uid: Text = Field(description="Its uid.")
    snapshot: SnapshotStatus = Field(description="The data set that it was given.")
    started_at: Moment | None = Field(default=None, description="When it was started.")
    finished_at: Moment | None = Field(default=None, description="When it ended.")


class ClassifierStatus(Status):
    """What the operator last saw of a classifier."""

    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status was taken from."
    )
    conditions: Conditions = Field(default=(), description="Ready, and why not.")
    live_version: int | None = Field(default=None, description="The version that answers.")
    canary_version: int | None = Field(default=None, description="The version on trial beside it.")
    labelled_samples: int | None = Field(
        default=None, description="Labelled samples that came from the stream."
    )
    fresh_samples: int | None = Field(
        default=None, description="Those of them that came since the last attempt."
    )
    live_accuracy: Text | None = Field(
        default=None, description="Share of right answers among the newest labelled ones."
    )
    fine_tunes: int | None = Field(
        default=None, description="FineTunes that the standing policy has made so far."
    )
    last_fine_tune: AttemptStatus | None = Field(
        default=None, description="The last fine-tune that was started."
    )
    rollout: RolloutStatus | None = Field(default=None, description="What serves, as decided.")
    replicas: int | None = Field(default=None, description="Inference pods.")
    ready_replicas: int | None = Field(default=None, description="Inference pods that are ready.")
    selector: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None, description="Label selector of the inference pods, for autoscalers."
    )


class JobStatus(Status):
    """The one Job of a run."""

    name: Text = Field(description="Its name: the FineTune's.")
    uid: Text | None = Field(
        default=None,
        description="Its uid, known once it was created. A Job that is gone afterwards is not made again.",
    )


class MetricStatus(Status):
    """One number of the report."""

    name: Text = Field(description="What was measured, as in freshCandidateAccuracy.")
    value: Text = Field(description="The number.")


class FineTuneStatus(Status):
    """What the operator last saw of a run."""

    observed_generation: int | None = Field(
        default=None, description="The generation of the spec that this status was taken from."
    )
    conditions: Conditions = Field(default=(), description="Succeeded and Promoted, and why not.")
    job: JobStatus | None = Field(default=None, description="The one Job of this run.")
    base_version: int | None = Field(
        default=None, description="The version that it starts from and is judged against."
    )
    snapshot: SnapshotStatus | None = Field(default=None, description="The data set that it reads.")
    samples: int | None = Field(
        default=None, description="Labelled samples that have come since the last attempt."
    )
    started_at: Moment | None = Field(default=None, description="When it was started.")
    finished_at: Moment | None = Field(default=None, description="When it ended.")
    model_version: int | None = Field(default=None, description="The version that it published.")
    verdict: Text | None = Field(default=None, description="The gate's answer.")
    metrics: Annotated[
        Sequence[MetricStatus],
        Field(
            max_length=64,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        ),
    ] = Field(default=(), description="What the report says.")
