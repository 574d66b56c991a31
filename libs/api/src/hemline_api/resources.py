"""The custom resources ``ImageClassifier`` and ``FineTune`` (``hemline.dev/v1alpha1``) as pydantic models.

Field names are those of the manifests; schemas, defaults and validation rules are generated from here.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "BrokerSpec",
    "BrokerType",
    "CanaryPolicy",
    "ClassifierSpec",
    "ClassifierStatus",
    "Condition",
    "FineTunePolicy",
    "FineTuneResourceSpec",
    "FineTuneStatus",
    "GatePolicy",
    "InferenceSpec",
    "Mode",
    "ModelSpec",
    "StorageSpec",
    "TrainerSpec",
]

GROUP: Final = "hemline.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

_DECIMAL = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"
Decimal = Annotated[str, Field(pattern=_DECIMAL, max_length=8)]
"""A fraction from 0 to 1 as a string: Kubernetes' conventions keep floats out of specs."""


class _Resource(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True
    )


class _Status(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )


class Mode(StrEnum):
    """On or off, in the words of Kubernetes' conventions (enums can grow, booleans cannot)."""

    ENABLED = "Enabled"
    DISABLED = "Disabled"


class BrokerType(StrEnum):
    """Which broker carries the stream."""

    KAFKA = "Kafka"
    PUB_SUB = "PubSub"


class BrokerSpec(_Resource):
    """The broker that images arrive on."""

    type: BrokerType = Field(description="Kafka or PubSub. Cannot be changed later.")
    address: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Bootstrap servers of Kafka (host:port,host:port) or the project of Pub/Sub."
    )
    secret_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None,
        description="Secret with credentials: username, password and ca.crt for Kafka, key.json for Pub/Sub.",
    )


class StorageSpec(_Resource):
    """Where the lake lives: a volume claimed for it, or an object store."""

    uri: Annotated[str, Field(max_length=1024)] | None = Field(
        default=None,
        description="s3://bucket/path or gs://bucket/path; unset: a volume is claimed.",
    )
    size: Annotated[str, Field(max_length=32)] = Field(
        default="10Gi", description="Size of the volume claimed where no uri is given."
    )
    storage_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Storage class of that volume; unset: the cluster's default."
    )
    secret_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None,
        description="Secret with the object store's credentials as environment variables.",
    )


class InferenceSpec(_Resource):
    """The pods that answer images."""

    replicas: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="Number of pods; unset: 1, or whatever an autoscaler says."
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="Threads of the engine in each pod."
    )
    max_batch: Annotated[int, Field(ge=1, le=4096)] = Field(
        default=256, description="Most images in one run of the engine."
    )


class ModelSpec(_Resource):
    """Which model serves."""

    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Pins this version: nothing is promoted until it is unset."
    )


class GatePolicy(_Resource):
    """What a candidate must hold against the live version on the same held-out samples."""

    max_frozen_drop: Decimal = Field(
        default="0.02", description="Largest loss of accuracy allowed on the frozen validation set."
    )
    max_class_drop: Decimal = Field(
        default="0.15", description="Largest loss of recall allowed for one class."
    )
    significance: Decimal = Field(
        default="0.05",
        description="p-value below which a gain on the newest labels counts (McNemar).",
    )


class CanaryPolicy(_Resource):
    """How a promoted candidate comes in: at once, or answering a share of the images first."""

    mode: Mode = Field(
        default=Mode.DISABLED, description="Enabled: a share first; Disabled: at once."
    )
    fraction: Decimal = Field(
        default="0.1", description="Share of the images that the canary answers."
    )
    min_labelled: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        default=200, description="Labelled answers of the canary to judge it by."
    )


class FineTunePolicy(_Resource):
    """The standing policy: when a new model is made from what has come."""

    mode: Mode = Field(
        default=Mode.ENABLED, description="Disabled: only FineTunes applied by hand run."
    )
    every: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        default=1000, description="Labelled samples from the stream since the last attempt."
    )
    cooldown_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = Field(
        default=0, description="Shortest time from the end of one run to the start of the next."
    )
    gate: GatePolicy = Field(default_factory=GatePolicy, description="What a candidate must hold.")
    canary: CanaryPolicy = Field(default_factory=CanaryPolicy, description="How it comes in.")


class TrainerSpec(_Resource):
    """The Job of one run."""

    steps: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        default=250, description="Training steps."
    )
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = Field(
        default=128, description="Samples a step."
    )
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(
        default=1, description="GPUs of the pod; 0: CPU only."
    )
    gpu_resource_name: Annotated[str, Field(max_length=253)] = Field(
        default="nvidia.com/gpu", description="The extended resource that stands for one GPU."
    )
    runtime_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Runtime class of the pod, where GPUs need one."
    )
    priority_class_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Priority class of the pod."
    )
    queue_name: Annotated[str, Field(max_length=253)] | None = Field(
        default=None, description="Kueue's local queue for the Job."
    )
    deadline_seconds: Annotated[int, Field(ge=60, le=31_536_000)] = Field(
        default=3600, description="The Job is ended after this time."
    )
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3, description="Pods started again before the Job is given up."
    )
    node_selector: Annotated[dict[str, str], Field(max_length=64)] = Field(
        default_factory=dict, description="Labels of nodes that may run it."
    )
    tolerations: Annotated[list[dict[str, Any]], Field(max_length=64)] = Field(
        default_factory=list, description="Taints it may run under."
    )


class ClassifierSpec(_Resource):
    """A classifier: its stream, its storage, what serves, and when it is made anew."""

    broker: BrokerSpec
    storage: StorageSpec = Field(default_factory=StorageSpec)
    inference: InferenceSpec = Field(default_factory=InferenceSpec)
    model: ModelSpec = Field(default_factory=ModelSpec)
    fine_tune: FineTunePolicy = Field(default_factory=FineTunePolicy)
    trainer: TrainerSpec = Field(default_factory=TrainerSpec)


class FineTuneResourceSpec(_Resource):
    """One bounded run. Everything but ``suspend`` is fixed once applied."""

    classifier_name: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="The ImageClassifier in the same namespace."
    )
    after_samples: Annotated[int, Field(ge=0, le=100_000_000)] = Field(
        default=0,
        description="Waits until so many labelled samples have come since the last attempt.",
    )
    suspend: Mode = Field(default=Mode.DISABLED, description="Enabled: nothing is started.")
    trainer: TrainerSpec | None = Field(default=None, description="Unset: the classifier's.")
    gate: GatePolicy | None = Field(default=None, description="Unset: the classifier's.")


class Condition(_Status):
    """A condition as in Kubernetes' API conventions."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    observed_generation: int | None = None
    last_transition_time: str | None = None


class ClassifierStatus(_Status):
    """What the operator last saw of a classifier."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default_factory=list)
    live_version: int | None = None
    canary_version: int | None = None
    labelled_samples: int | None = None
    live_accuracy: str | None = None
    last_fine_tune: str | None = None
    replicas: int | None = None
    selector: str | None = None


class FineTuneStatus(_Status):
    """What the operator last saw of a run."""

    observed_generation: int | None = None
    conditions: list[Condition] = Field(default_factory=list)
    job_name: str | None = None
    samples: int | None = None
    model_version: int | None = None
    verdict: str | None = None
    metrics: dict[str, str] = Field(default_factory=dict)
