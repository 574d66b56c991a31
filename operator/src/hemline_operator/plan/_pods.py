"""Pods of the components: what they have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from hemline_api.resources import (
    BrokerType,
    ClassifierSpec,
    Mode,
    PodSettings,
)
from hemline_operator.plan._names import ROLLOUT_FILE, Key, component_labels
from hemline_operator.plan._platform import Platform

__all__ = ["GRPC_PORT", "HTTP_PORT", "Container", "broker_url", "lake_uri", "pod_spec", "probe"]

Object = dict[str, Any]

HTTP_PORT: Final = 9090
GRPC_PORT: Final = 50051
_LAKE: Final = "/lake"
_ROLLOUT: Final = "/etc/hemline/rollout"
_BROKER: Final = "/etc/hemline/broker"
ROLLOUT_PATH: Final = f"{_ROLLOUT}/{ROLLOUT_FILE}"
CACHE: Final = "/var/cache/hemline"
_PUB_SUB_MOST_SECONDS: Final = 31 * 86_400
"""Longer no topic of Pub/Sub keeps messages."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container: what runs, and which of the classifier's parts it is given."""

    name: str
    command: Sequence[str]
    image: str
    resources: Mapping[str, Any]
    ports: Mapping[str, int] = field(default_factory=dict)
    probes: Mapping[str, Object] = field(default_factory=dict)
    broker: bool = False
    rollout: bool = False


def broker_url(spec: ClassifierSpec) -> str:
    """The broker as the services' option names it, with what topics are made with. It carries no credentials."""
    seconds, topics = spec.topics.retention_hours * 3600, spec.topics
    if spec.broker.type is BrokerType.PUB_SUB:
        scheme = "pubsub"
        options: dict[str, int | str] = {"retention": min(seconds, _PUB_SUB_MOST_SECONDS)}
        if spec.broker.endpoint:
            options |= {"endpoint": spec.broker.endpoint}
    else:
        scheme = "kafka"
        options = {"retention": seconds, "partitions": topics.partitions}
        if topics.replicas:
            options |= {"replication": topics.replicas}
    return f"{scheme}://{spec.broker.address}?{urlencode(options)}"


def lake_uri(spec: ClassifierSpec) -> str:
    """The lake as the services' option names it."""
    return spec.storage.uri or f"file://{_LAKE}"


def probe(path: str = "/healthz", *, period: int, failures: int) -> Object:
    """An HTTP probe of the metrics port."""
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def pod_spec(
    key: Key,
    spec: ClassifierSpec,
    platform: Platform,
    settings: PodSettings,
    container: Container,
    *,
    before: Sequence[Container] = (),
    work: bool = False,
    grace_seconds: int = 45,
) -> Object:
    """A pod that runs under the restricted Pod Security Standard.

    Args:
        key: the classifier's name.
        spec: the classifier.
        platform: settings of the operator.
        settings: where it runs.
        container: what it runs.
        before: what runs to its end first.
        work: give it a folder for what must outlive the pod (checkpoints).
        grace_seconds: time to finish what is in flight after SIGTERM.
    """
    everything = (*before, container)
    out: Object = {
        "serviceAccountName": key.account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": platform.user,
            "runAsGroup": platform.user,
            "fsGroup": platform.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(key, spec, platform, container, work=work)],
        "volumes": _volumes(
            key,
            spec,
            work=work,
            broker=any(one.broker for one in everything),
            rollout=any(one.rollout for one in everything),
        ),
    }
    if before:
        out["initContainers"] = [_container(key, spec, platform, one, work=False) for one in before]
    if platform.pull_secrets:
        out["imagePullSecrets"] = [{"name": name} for name in platform.pull_secrets]
    if settings.node_selector:
        out["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        out["tolerations"] = [
            one.model_dump(by_alias=True, exclude_none=True, mode="json")
            for one in settings.tolerations
        ]
    if settings.priority_class_name:
        out["priorityClassName"] = settings.priority_class_name
    if settings.runtime_class_name:
        out["runtimeClassName"] = settings.runtime_class_name
    if spec.storage.uri is None and spec.storage.access_mode == "ReadWriteOnce":
        # The volume is attached to one node, so every pod goes where the first of them went. Only preferred, one that
        # went elsewhere would wait for the volume for ever, without a word of why.
        out["affinity"] = {"podAffinity": _same_node(key)}
    return out


def _same_node(key: Key) -> Object:
    labels = component_labels(key, "any")
    names = ("app.kubernetes.io/instance", "app.kubernetes.io/part-of")
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": {"matchLabels": {name: labels[name] for name in names}},
            }
        ]
    }


def _container(
    key: Key, spec: ClassifierSpec, platform: Platform, container: Container, *, work: bool
) -> Object:
    mounts: list[Object] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108  # the pod's own
    mounts.append({"name": "cache", "mountPath": CACHE})
    if spec.storage.uri is None:
        mounts.append({"name": "lake", "mountPath": _LAKE, "subPath": "lake"})
    if work:
        shared = spec.storage.uri is None
        mounts.append(
            {"name": "lake" if shared else "work", "mountPath": "/work"}
            | ({"subPath": "work"} if shared else {})
        )
    if container.rollout:
        mounts.append({"name": "rollout", "mountPath": _ROLLOUT, "readOnly": True})
    environment = [
        {"name": "HOME", "value": "/tmp"},  # noqa: S108
        {"name": "HEMLINE_LOG_FORMAT", "value": "json"},
    ]
    if container.broker:
        environment += _broker_environment(key, spec)
        if _key_file(spec):
            mounts.append({"name": "broker", "mountPath": _BROKER, "readOnly": True})
    out: Object = {
        "name": container.name,
        "image": container.image,
        "imagePullPolicy": platform.pull_policy,
        "command": list(container.command),
        "env": environment,
        "resources": container.resources,
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **container.probes,
    }
    if container.ports:
        out["ports"] = [
            {"name": name, "containerPort": port, "protocol": "TCP"}
            for name, port in container.ports.items()
        ]
    if spec.storage.secret_name:
        out["envFrom"] = [{"secretRef": {"name": spec.storage.secret_name}}]
    return out


def _volumes(
    key: Key, spec: ClassifierSpec, *, work: bool, broker: bool, rollout: bool
) -> list[Object]:
    volumes: list[Object] = [{"name": name, "emptyDir": {}} for name in ("tmp", "cache")]
    if spec.storage.uri is None:
        volumes.append({"name": "lake", "persistentVolumeClaim": {"claimName": key.lake}})
    elif work:
        volumes.append({"name": "work", "emptyDir": {}})
    if rollout:
        volumes.append({"name": "rollout", "configMap": {"name": key.rollout}})
    if broker and _key_file(spec):
        volumes.append({"name": "broker", "secret": {"secretName": spec.broker.secret_name}})
    return volumes


def _key_file(spec: ClassifierSpec) -> bool:
    """Whether credentials come as a file: Google's libraries read their key from one."""
    return spec.broker.type is BrokerType.PUB_SUB and spec.broker.secret_name is not None


def kafka_user(key: Key) -> str:
    """Strimzi's user of a classifier, and the Secret that Strimzi makes for it."""
    return f"{key.namespace}.{key.name}"


def authority_secret(spec: ClassifierSpec) -> str | None:
    """The Secret whose ca.crt may say whom to trust; for Strimzi the one that it makes for a cluster."""
    if spec.broker.secret_name:
        return spec.broker.secret_name
    cluster = spec.broker.strimzi_cluster
    return f"{cluster}-cluster-ca-cert" if cluster else None


def _broker_environment(key: Key, spec: ClassifierSpec) -> list[Object]:
    """Settings as ``hemline_broker`` reads them. An entry that a Secret may lack leaves its variable unset."""
    broker = spec.broker
    if broker.type is BrokerType.PUB_SUB:
        if not _key_file(spec):
            return []  # the pods' account: workload identity
        return [{"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": f"{_BROKER}/key.json"}]
    tls = broker.tls is Mode.ENABLED
    protocol = ("SASL_" if broker.sasl else "") + ("SSL" if tls else "PLAINTEXT")
    if protocol == "PLAINTEXT":
        return []
    environment: list[Object] = [{"name": "HEMLINE_KAFKA_SECURITY_PROTOCOL", "value": protocol}]
    if tls and (authority := authority_secret(spec)):
        environment.append(_from_secret("HEMLINE_KAFKA_CA_PEM", authority, "ca.crt", optional=True))
    if tls and broker.secret_name:
        environment += [
            _from_secret("HEMLINE_KAFKA_CERT_PEM", broker.secret_name, "tls.crt", optional=True),
            _from_secret("HEMLINE_KAFKA_KEY_PEM", broker.secret_name, "tls.key", optional=True),
        ]
    if broker.sasl:
        mechanism = {"name": "HEMLINE_KAFKA_SASL_MECHANISM", "value": broker.sasl.value}
        environment += [mechanism, *_login(key, broker.secret_name)]
    return environment


def _login(key: Key, secret: str | None) -> list[Object]:
    # Strimzi's Secret of a user holds the password alone: the name is known.
    user = kafka_user(key)
    return [
        _from_secret("HEMLINE_KAFKA_USERNAME", secret, "username")
        if secret
        else {"name": "HEMLINE_KAFKA_USERNAME", "value": user},
        _from_secret("HEMLINE_KAFKA_PASSWORD", secret or user, "password"),
    ]


def _from_secret(variable: str, secret: str, entry: str, *, optional: bool = False) -> Object:
    reference: Object = {"name": secret, "key": entry}
    if optional:
        reference["optional"] = True
    return {"name": variable, "valueFrom": {"secretKeyRef": reference}}
