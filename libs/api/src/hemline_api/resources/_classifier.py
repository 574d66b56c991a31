"""The spec of an ``ImageClassifier``."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from hemline_api.resources._base import (
    Decimal,
    Mode,
    Name,
    ObjectName,
    PodSettings,
    Quantity,
    Resource,
    rules,
)

__all__ = [
    "AutoscalingSpec",
    "BrokerSpec",
    "BrokerType",
    "CanaryPolicy",
    "ClassifierSpec",
    "CollectSpec",
    "DatasetSpec",
    "FineTunePolicy",
    "GatePolicy",
    "InferenceSpec",
    "ModelSpec",
    "SamplesSpec",
    "SaslMechanism",
    "ServeSpec",
    "ServiceAccountSpec",
    "StorageSpec",
    "TopicsSpec",
    "TrainerSpec",
    "UpkeepSpec",
]


class BrokerType(StrEnum):
    """Which broker carries the stream."""

    KAFKA = "Kafka"
    PUB_SUB = "PubSub"


class SaslMechanism(StrEnum):
    """How a client proves to Kafka who it is."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class BrokerSpec(Resource):
    """The broker that images arrive on."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.type == oldSelf.type",
                "broker.type cannot be changed: make a new ImageClassifier",
            ),
            (
                "self.type == 'Kafka' || (!has(self.sasl) && self.tls == 'Disabled' && !has(self.strimziCluster))",
                "broker.tls, broker.sasl and broker.strimziCluster are for type Kafka",
            ),
            (
                "!has(self.sasl) || has(self.secretName) || has(self.strimziCluster)",
                "broker.sasl needs broker.secretName, a Secret with username and password",
            ),
            (
                "self.type != 'Kafka' || self.address.matches('^[^,:/ ]+:[0-9]+(,[^,:/ ]+:[0-9]+)*$')",
                "broker.address must be host:port or host:port,host:port for type Kafka",
            ),
            (
                "self.type != 'PubSub' || self.address.matches('^[a-z][-a-z0-9.:]{4,61}[a-z0-9]$')",
                "broker.address must be a project id for type PubSub",
            ),
            (
                "self.type == 'PubSub' || !has(self.endpoint)",
                "broker.endpoint is for type PubSub: name Kafka's servers in broker.address",
            ),
        ),
    )

    type: BrokerType = Field(description="Kafka or PubSub. Cannot be changed later.")
    address: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="Bootstrap servers of Kafka (host:port,host:port) or the project of Pub/Sub."
    )
    endpoint: (
        Annotated[str, Field(max_length=253, pattern=r"^[-a-zA-Z0-9.]+:[0-9]{1,5}$")] | None
    ) = Field(
        default=None,
        description="host:port of a regional endpoint of Pub/Sub, such as europe-west1-pubsub.googleapis.com:443, or "
        "of an emulator; unset: the global one.",
    )
    tls: Mode = Field(
        default=Mode.DISABLED,
        description="Enabled: Kafka is spoken to in TLS. Trusted is the ca.crt of the Secret or of Strimzi's cluster, "
        "else the system's authorities.",
    )
    sasl: SaslMechanism | None = Field(
        default=None,
        description="How to log in to Kafka, with username and password of the Secret; unset: not at all.",
    )
    secret_name: ObjectName | None = Field(
        default=None,
        description="Secret with credentials. For Kafka what there is of username and password (sasl), ca.crt (tls), "
        "tls.crt and tls.key (a client certificate); for Pub/Sub key.json (unset: workload identity).",
    )
    strimzi_cluster: Name | None = Field(
        default=None,
        description="Name of a Strimzi Kafka of this namespace: topics, and with sasl a user, become its resources. "
        "Unset: the services make the topics themselves.",
    )


class TopicsSpec(Resource):
    """The topics of the stream."""

    partitions: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=3,
        description="Partitions of each topic (Kafka): most inference pods that share the work. Cannot shrink. They "
        "grow where Strimzi holds the topics; elsewhere the number is that of a topic's beginning.",
        json_schema_extra=rules(
            ("self >= oldSelf", "topics.partitions cannot shrink: Kafka's keys would change place")
        ),
    )
    replicas: Annotated[int, Field(ge=1, le=32)] | None = Field(
        default=None,
        description="Copies of each partition (Kafka); unset: what the brokers make by default.",
    )
    retention_hours: Annotated[int, Field(ge=1, le=87_600)] = Field(
        default=168, description="How long messages are kept."
    )


class StorageSpec(Resource):
    """Where the lake lives: a volume claimed for it, or an object store."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "has(self.uri) == has(oldSelf.uri) && (!has(self.uri) || self.uri == oldSelf.uri)",
                "storage.uri cannot be changed: the samples and models would stay behind",
            ),
            (
                "!has(self.secretName) || has(self.uri)",
                "storage.secretName is for an object store: set storage.uri too",
            ),
        ),
    )

    uri: Annotated[str, Field(max_length=1024, pattern=r"^(s3|gs)://[^/ ]+(/[^ ]*)?$")] | None = (
        Field(
            default=None,
            description="s3://bucket/path or gs://bucket/path; unset: a volume is claimed.",
        )
    )
    size: Quantity = Field(
        default="10Gi", description="Size of the volume claimed where no uri is given."
    )
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = Field(
        default="ReadWriteOnce",
        description="ReadWriteOnce keeps every pod of the classifier on one node; several nodes need ReadWriteMany "
        "or an object store.",
        json_schema_extra=rules(
            (
                "self == oldSelf",
                "storage.accessMode cannot be changed: a claimed volume keeps its mode",
            )
        ),
    )
    storage_class_name: ObjectName | None = Field(
        default=None, description="Storage class of that volume; unset: the cluster's default."
    )
    secret_name: ObjectName | None = Field(
        default=None,
        description="Secret with the object store's credentials as environment variables; unset: workload identity.",
    )


class ServiceAccountSpec(Resource):
    """The service account of the pods: <name>-hemline. It has no rights in Kubernetes."""

    annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=1024)]], Field(max_length=16)
    ] = Field(
        default_factory=dict,
        description="Its annotations, such as those that bind it to an identity of a cloud: "
        "iam.gke.io/gcp-service-account, eks.amazonaws.com/role-arn.",
    )


class AutoscalingSpec(Resource):
    """Scaling by what waits on the images' topic. Needs KEDA."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.minReplicas <= self.maxReplicas",
                "autoscaling.minReplicas must not exceed autoscaling.maxReplicas",
            )
        ),
    )

    mode: Mode = Field(default=Mode.DISABLED, description="Enabled: KEDA scales the pods.")
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0, description="Fewest pods; 0: none while nothing waits."
    )
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=3, description="Most pods; more than there are partitions are idle."
    )
    lag: Annotated[int, Field(ge=1, le=100_000_000)] = Field(
        default=500, description="Waiting images for each pod."
    )


class InferenceSpec(PodSettings):
    """The pods that answer images."""

    replicas: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="Number of pods; unset: 1, or whatever an autoscaler says."
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="Threads of the engine in each pod."
    )
    max_batch: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=256, description="Most images in one run of the engine."
    )
    autoscaling: AutoscalingSpec = Field(
        default_factory=AutoscalingSpec, description="Scaling by what waits."
    )


class CollectSpec(PodSettings):
    """The pods that bring the stream into the lake."""

    replicas: Annotated[int, Field(ge=1, le=100)] = Field(
        default=1, description="Number of pods; more than there are partitions are idle."
    )


class ServeSpec(PodSettings):
    """The pods that stream samples to trainers and count them for the operator."""

    replicas: Annotated[int, Field(ge=1, le=100)] = Field(default=1, description="Number of pods.")


class UpkeepSpec(PodSettings):
    """The pod that now and then joins the lake's small files and removes its old versions."""

    mode: Mode = Field(
        default=Mode.ENABLED, description="Disabled: none runs, and the lake grows slow."
    )
    schedule: Annotated[str, Field(min_length=9, max_length=128)] | None = Field(
        default=None,
        description='When it runs, as in cron ("30 3 * * *"); unset: once an hour, at a minute of its own.',
    )
    keep_versions_hours: Annotated[int, Field(ge=1, le=87_600)] = Field(
        default=168,
        description="How long old versions of the tables stay readable; the snapshots of runs and models always do.",
    )
    expire_unlabelled_hours: Annotated[int, Field(ge=1, le=87_600)] | None = Field(
        default=None,
        description="Age at which images from the stream that no label came for are removed; unset: never.",
    )


class SamplesSpec(Resource):
    """What brings samples into the lake and out again."""

    collect: CollectSpec = Field(default_factory=CollectSpec, description="Broker to lake.")
    serve: ServeSpec = Field(default_factory=ServeSpec, description="Lake to trainers.")
    upkeep: UpkeepSpec = Field(default_factory=UpkeepSpec, description="What keeps the lake fast.")


class ModelSpec(Resource):
    """Which model serves."""

    version: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Pins this version: nothing is promoted until it is unset."
    )
    initial: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        default="fashion-mnist",
        description="The model that a new lake begins with: one shipped with Hemline, or a directory in the image.",
    )


class DatasetSpec(Resource):
    """What the initial model was trained on: kept in every fine-tune, so that nothing old is forgotten."""

    initial: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        default="fashion-mnist-sample",
        description="Imported into a new lake: one shipped with Hemline, a directory in the image, or none.",
    )


class GatePolicy(Resource):
    """What a candidate must hold against the live version on the same held-out samples."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "double(self.significance) > 0.0 && double(self.significance) <= 0.5",
                "gate.significance must be above 0 and at most 0.5",
            )
        ),
    )

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


class CanaryPolicy(Resource):
    """How a promoted candidate comes in: at once, or answering a share of the images first."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "double(self.fraction) > 0.0 && double(self.fraction) < 1.0",
                'canary.fraction must be between 0 and 1, as in "0.1"',
            )
        ),
    )

    mode: Mode = Field(
        default=Mode.DISABLED, description="Enabled: a share first; Disabled: at once."
    )
    fraction: Decimal = Field(
        default="0.1", description="Share of the images that the canary answers."
    )
    min_labelled: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        default=200, description="Labelled answers of the canary to judge it by."
    )


class FineTunePolicy(Resource):
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
    keep: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=10, description="FineTunes of this policy that are kept after their end."
    )
    gate: GatePolicy = Field(default_factory=GatePolicy, description="What a candidate must hold.")
    canary: CanaryPolicy = Field(default_factory=CanaryPolicy, description="How it comes in.")


class TrainerSpec(PodSettings):
    """The Job of one run."""

    steps: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=250, description="Training steps."
    )
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = Field(
        default=128, description="Samples a step."
    )
    gpus: Annotated[int, Field(ge=0, le=64)] = Field(
        default=1, description="GPUs of the pod; 0: CPU only."
    )
    gpu_resource_name: ObjectName = Field(
        default="nvidia.com/gpu", description="The extended resource that stands for one GPU."
    )
    queue_name: ObjectName | None = Field(
        default=None, description="Kueue's local queue for the Job."
    )
    deadline_seconds: Annotated[int, Field(ge=60, le=31_536_000)] = Field(
        default=3600, description="The Job is ended after this time."
    )
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = Field(
        default=3, description="Pods started again before the Job is given up."
    )


class ClassifierSpec(Resource):
    """A classifier: its stream, its storage, what serves, and when it is made anew."""

    broker: BrokerSpec = Field(description="The broker that images arrive on.")
    topics: TopicsSpec = Field(default_factory=TopicsSpec, description="The topics of the stream.")
    storage: StorageSpec = Field(
        default_factory=StorageSpec, description="Where samples and models are kept."
    )
    service_account: ServiceAccountSpec = Field(
        default_factory=ServiceAccountSpec,
        description="The service account of the pods: who they are to a broker or an object store that knows "
        "workload identities.",
    )
    inference: InferenceSpec = Field(
        default_factory=InferenceSpec, description="The pods that answer images."
    )
    samples: SamplesSpec = Field(
        default_factory=SamplesSpec,
        description="The pods that bring samples into the lake and out again.",
    )
    model: ModelSpec = Field(default_factory=ModelSpec, description="Which model serves.")
    dataset: DatasetSpec = Field(
        default_factory=DatasetSpec, description="What the initial model was trained on."
    )
    fine_tune: FineTunePolicy = Field(
        default_factory=FineTunePolicy,
        description="When a new model is made from the labelled samples that have come, what it must hold to go live, "
        "and how it comes in.",
    )
    trainer: TrainerSpec = Field(
        default_factory=TrainerSpec, description="The Job that makes a new model."
    )
