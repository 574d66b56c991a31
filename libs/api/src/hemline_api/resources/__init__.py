"""The custom resources ``ImageClassifier`` and ``FineTune`` (``hemline.dev/v1alpha1``) as pydantic models.

Field names are those of the manifests. Schemas, defaults, validation rules and printer columns are generated from here
into ``k8s/crds`` by ``python -m hemline_api.resources FOLDER``.
"""

from hemline_api.resources._base import (
    API_VERSION,
    GROUP,
    VERSION,
    Condition,
    Mode,
    PodSettings,
    Resources,
    Toleration,
)
from hemline_api.resources._classifier import (
    AutoscalingSpec,
    BrokerSpec,
    BrokerType,
    CanaryPolicy,
    ClassifierSpec,
    CollectSpec,
    DatasetSpec,
    FineTunePolicy,
    GatePolicy,
    InferenceSpec,
    ModelSpec,
    SamplesSpec,
    SaslMechanism,
    ServeSpec,
    ServiceAccountSpec,
    StorageSpec,
    TopicsSpec,
    TrainerSpec,
    UpkeepSpec,
)
from hemline_api.resources._crd import custom_resource_definitions
from hemline_api.resources._fine_tune import FineTuneResourceSpec
from hemline_api.resources._status import (
    AttemptStatus,
    CanaryStatus,
    ClassifierStatus,
    FineTuneStatus,
    JobStatus,
    MetricStatus,
    RolloutStatus,
    SnapshotStatus,
)

__all__ = [
    "API_VERSION",
    "GROUP",
    "VERSION",
    "AttemptStatus",
    "AutoscalingSpec",
    "BrokerSpec",
    "BrokerType",
    "CanaryPolicy",
    "CanaryStatus",
    "ClassifierSpec",
    "ClassifierStatus",
    "CollectSpec",
    "Condition",
    "DatasetSpec",
    "FineTunePolicy",
    "FineTuneResourceSpec",
    "FineTuneStatus",
    "GatePolicy",
    "InferenceSpec",
    "JobStatus",
    "MetricStatus",
    "Mode",
    "ModelSpec",
    "PodSettings",
    "Resources",
    "RolloutStatus",
    "SamplesSpec",
    "SaslMechanism",
    "ServeSpec",
    "ServiceAccountSpec",
    "SnapshotStatus",
    "StorageSpec",
    "Toleration",
    "TopicsSpec",
    "TrainerSpec",
    "UpkeepSpec",
    "custom_resource_definitions",
]
