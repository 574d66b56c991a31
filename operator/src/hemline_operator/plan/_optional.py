"""Children of kinds that other operators bring: Strimzi, KEDA, the Prometheus operator."""

import re
from typing import Any, Final

from hemline_api.metrics import SERVE_UNANSWERED
from hemline_api.resources import BrokerType, ClassifierSpec, Mode, SaslMechanism
from hemline_api.topics import Topics
from hemline_operator.kube import SCALED_OBJECT, TRIGGER_AUTHENTICATION
from hemline_operator.plan._actions import Delete
from hemline_operator.plan._children import child
from hemline_operator.plan._compare import sealed
from hemline_operator.plan._names import (
    CLASSIFIER_LABEL,
    COMPONENT_LABEL,
    Key,
    Owner,
    component_labels,
)
from hemline_operator.plan._platform import Platform
from hemline_operator.plan._pods import authority_secret, kafka_user

__all__ = ["optional", "scaling_ends"]

Object = dict[str, Any]

_MAX_MESSAGE_BYTES: Final = 15_728_640
_HOUR_MS: Final = 3_600_000
_KEDA_SASL: Final = {
    SaslMechanism.PLAIN: "plaintext",
    SaslMechanism.SCRAM_SHA_256: "scram_sha256",
    SaslMechanism.SCRAM_SHA_512: "scram_sha512",
}


def optional(key: Key, owner: Owner, spec: ClassifierSpec, platform: Platform) -> list[Object]:
    """What this cluster can hold of them, in the order in which it is applied."""
    can = platform.capabilities
    children: list[Object] = []
    if spec.broker.strimzi_cluster and can.kafka_topic:
        children += _topics(key, spec, can.kafka_topic)
    if spec.broker.strimzi_cluster and spec.broker.sasl and can.kafka_user:
        children.append(_user(key, spec, can.kafka_user))
    if spec.inference.autoscaling.mode is Mode.ENABLED and can.scaled_object:
        children += _scaling(key, owner, spec, platform, can.scaled_object)
    if can.pod_monitor:
        children.append(_pod_monitor(key, owner, can.pod_monitor))
    return [sealed(one) for one in children]


def scaling_ends(key: Key) -> list[Delete]:
    """What goes when a classifier is no longer scaled by KEDA, which would go on setting its replicas."""
    return [
        Delete(kind, key.namespace, key.inference, None)
        for kind in (SCALED_OBJECT, TRIGGER_AUTHENTICATION)
    ]


def _topics(key: Key, spec: ClassifierSpec, version: str) -> list[Object]:
    return [
        child(f"kafka.strimzi.io/{version}", "KafkaTopic", key, topic, "topic", None)
        | {
            "metadata": {
                "name": topic,
                "namespace": key.namespace,
                "labels": component_labels(key, "topic")
                | {"strimzi.io/cluster": spec.broker.strimzi_cluster},
            },
            "spec": {
                "partitions": spec.topics.partitions,
                **({"replicas": spec.topics.replicas} if spec.topics.replicas else {}),
                "config": {
                    "retention.ms": spec.topics.retention_hours * _HOUR_MS,
                    "max.message.bytes": _MAX_MESSAGE_BYTES,
                },
            },
        }
        for topic in Topics(key.name, key.namespace).all()
    ]


def _user(key: Key, spec: ClassifierSpec, version: str) -> Object:
    prefix = f"{key.namespace}.{key.name}."
    allow = {
        "topic": ["Read", "Write", "Describe", "DescribeConfigs"],
        "group": ["Read", "Describe"],
    }
    user = child(f"kafka.strimzi.io/{version}", "KafkaUser", key, kafka_user(key), "user", None) | {
        "spec": {
            "authentication": {"type": "scram-sha-512"},
            "authorization": {
                "type": "simple",
                "acls": [
                    {
                        "resource": {"type": kind, "name": prefix, "patternType": "prefix"},
                        "operations": operations,
                    }
                    for kind, operations in allow.items()
                ],
            },
        }
    }
    user["metadata"]["labels"]["strimzi.io/cluster"] = spec.broker.strimzi_cluster
    return user


def _scaling(
    key: Key, owner: Owner, spec: ClassifierSpec, platform: Platform, version: str
) -> list[Object]:
    scaling = spec.inference.autoscaling
    trigger = _trigger(key, spec, platform)

    def keda(kind: str, spec: Object) -> Object:
        head = child(f"keda.sh/{version}", kind, key, key.inference, "inference", owner)
        return head | {"spec": spec}

    children: list[Object] = []
    login = {} if trigger["type"] == "prometheus" else _trigger_login(spec)
    if login:
        trigger["authenticationRef"] = {"name": key.inference}
        children.append(keda("TriggerAuthentication", login))
    scaled = {
        "scaleTargetRef": {"name": key.inference},
        "minReplicaCount": scaling.min_replicas,
        "maxReplicaCount": scaling.max_replicas,
        "triggers": [trigger],
    }
    if trigger["type"] == "prometheus":
        # Blind, it must neither stop the stream nor fill the cluster.
        scaled["fallback"] = {"failureThreshold": 3, "replicas": max(1, scaling.min_replicas)}
    return [*children, keda("ScaledObject", scaled)]


def _trigger(key: Key, spec: ClassifierSpec, platform: Platform) -> Object:
    lag = str(spec.inference.autoscaling.lag)
    images = Topics(key.name, key.namespace).images
    if spec.broker.type is BrokerType.PUB_SUB and platform.prometheus:
        # Pub/Sub tells what waits minutes late. The lake knows within seconds, also while no inference pod is there.
        matchers = f'namespace="{key.namespace}",classifier="{key.name}"'
        return {
            "type": "prometheus",
            "metadata": {
                "serverAddress": platform.prometheus,
                "query": f"max({SERVE_UNANSWERED.name}{{{matchers}}})",
                "threshold": lag,
                # No answer is not "nothing waits".
                "ignoreNullValues": "false",
            },
        }
    if spec.broker.type is BrokerType.PUB_SUB:
        subscription = f"projects/{spec.broker.address}/subscriptions/{images}.inference"
        return {
            "type": "gcp-pubsub",
            "metadata": {
                "subscriptionName": subscription,
                "mode": "SubscriptionSize",
                "value": lag,
            },
        }
    metadata = {
        "bootstrapServers": spec.broker.address,
        "consumerGroup": f"{images}.inference",
        "topic": images,
        "lagThreshold": lag,
        "offsetResetPolicy": "earliest",
    }
    if spec.broker.sasl:
        metadata["sasl"] = _KEDA_SASL[spec.broker.sasl]
    if spec.broker.tls is Mode.ENABLED:
        metadata["tls"] = "enable"
    return {"type": "kafka", "metadata": metadata}


def _trigger_login(spec: ClassifierSpec) -> Object:
    """How KEDA logs in where it counts what waits: as the inference pods do. Empty: not at all."""
    broker, secret = spec.broker, spec.broker.secret_name
    if broker.type is BrokerType.PUB_SUB:
        if secret is None:
            return {"podIdentity": {"provider": "gcp"}}
        return {"secretTargetRef": [_parameter("GoogleApplicationCredentials", secret, "key.json")]}
    login: Object = {}
    if broker.sasl:
        login["env"] = [
            {"parameter": name, "name": variable, "containerName": "inference"}
            for name, variable in (
                ("username", "HEMLINE_KAFKA_USERNAME"),
                ("password", "HEMLINE_KAFKA_PASSWORD"),
            )
        ]
    authority = authority_secret(spec)
    if broker.tls is Mode.ENABLED and authority:
        entries = {"ca": "ca.crt"} | ({"cert": "tls.crt", "key": "tls.key"} if secret else {})
        login["secretTargetRef"] = [
            _parameter(name, authority, entry) for name, entry in entries.items()
        ]
    return login


def _parameter(name: str, secret: str, entry: str) -> Object:
    return {"parameter": name, "name": secret, "key": entry}


def _pod_monitor(key: Key, owner: Owner, version: str) -> Object:
    return child(
        f"monitoring.coreos.com/{version}", "PodMonitor", key, key.monitor, "monitor", owner
    ) | {
        "spec": {
            "selector": {
                "matchLabels": {
                    "app.kubernetes.io/part-of": "hemline",
                    "app.kubernetes.io/instance": key.name,
                }
            },
            "podMetricsEndpoints": [
                {
                    "port": "http",
                    "path": "/metrics",
                    # The labels that dashboards and rules select by.
                    "relabelings": [
                        {"targetLabel": target, "sourceLabels": [_meta_label(label)]}
                        for target, label in (
                            ("classifier", CLASSIFIER_LABEL),
                            ("component", COMPONENT_LABEL),
                        )
                    ],
                }
            ],
        }
    }


def _meta_label(label: str) -> str:
    return "__meta_kubernetes_pod_label_" + re.sub(r"[^a-zA-Z0-9_]", "_", label)
