"""The kinds that the operator reads or writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hemline_api.resources import GROUP, VERSION

__all__ = [
    "CLASSIFIER",
    "CONFIG_MAP",
    "CRON_JOB",
    "CUSTOM_RESOURCE_DEFINITION",
    "DEPLOYMENT",
    "EVENT",
    "FINE_TUNE",
    "JOB",
    "KAFKA_TOPIC",
    "KAFKA_USER",
    "KINDS",
    "POD",
    "POD_MONITOR",
    "SCALED_OBJECT",
    "SERVICE",
    "SERVICE_ACCOUNT",
    "TRIGGER_AUTHENTICATION",
    "VOLUME_CLAIM",
    "Kind",
    "kind_of",
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: its group (empty for the core one), version, name, and name in paths."""

    group: str
    version: str
    name: str
    plural: str

    @property
    def api_version(self) -> str:
        """As a manifest writes it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None) -> str:
        """Where the API serves it: one object, those of a namespace, or all."""
        parts = ["apis", self.group] if self.group else ["api"]
        parts.append(self.version)
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name is not None:
            parts.append(name)
        return "/" + "/".join(parts)


CLASSIFIER: Final = Kind(GROUP, VERSION, "ImageClassifier", "imageclassifiers")
FINE_TUNE: Final = Kind(GROUP, VERSION, "FineTune", "finetunes")
CUSTOM_RESOURCE_DEFINITION: Final = Kind(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"
)
CONFIG_MAP: Final = Kind("", "v1", "ConfigMap", "configmaps")
EVENT: Final = Kind("", "v1", "Event", "events")
POD: Final = Kind("", "v1", "Pod", "pods")
SERVICE: Final = Kind("", "v1", "Service", "services")
SERVICE_ACCOUNT: Final = Kind("", "v1", "ServiceAccount", "serviceaccounts")
VOLUME_CLAIM: Final = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
JOB: Final = Kind("batch", "v1", "Job", "jobs")
CRON_JOB: Final = Kind("batch", "v1", "CronJob", "cronjobs")
KAFKA_TOPIC: Final = Kind("kafka.strimzi.io", "v1", "KafkaTopic", "kafkatopics")
KAFKA_USER: Final = Kind("kafka.strimzi.io", "v1", "KafkaUser", "kafkausers")
SCALED_OBJECT: Final = Kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects")
TRIGGER_AUTHENTICATION: Final = Kind(
    "keda.sh", "v1alpha1", "TriggerAuthentication", "triggerauthentications"
)
POD_MONITOR: Final = Kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")

KINDS: Final = (
    CLASSIFIER,
    FINE_TUNE,
    CONFIG_MAP,
    EVENT,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    VOLUME_CLAIM,
    DEPLOYMENT,
    JOB,
    CRON_JOB,
    KAFKA_TOPIC,
    KAFKA_USER,
    SCALED_OBJECT,
    TRIGGER_AUTHENTICATION,
    POD_MONITOR,
)
_BY_NAME: Final = {kind.name: kind for kind in (*KINDS, CUSTOM_RESOURCE_DEFINITION)}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind of a manifest, at the version that the manifest names (Strimzi has two)."""
    known = _BY_NAME[manifest["kind"]]
    version = str(manifest["apiVersion"]).rsplit("/", 1)[-1]
    return (
        known if version == known.version else Kind(known.group, version, known.name, known.plural)
    )
