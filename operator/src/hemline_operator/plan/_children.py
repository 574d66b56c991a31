"""What should be there for a classifier: one pure function for create, update, resume and resync alike."""

from typing import Any, Final

from hemline_api.resources import BrokerType, ClassifierSpec, Mode, PodSettings
from hemline_api.rollout import Rollout
from hemline_api.topics import Topics
from hemline_operator.plan._compare import sealed
from hemline_operator.plan._names import ROLLOUT_FILE, Key, Owner, component_labels
from hemline_operator.plan._platform import Platform
from hemline_operator.plan._pods import (
    CACHE,
    GRPC_PORT,
    HTTP_PORT,
    ROLLOUT_PATH,
    Container,
    broker_url,
    kafka_user,
    lake_uri,
    pod_spec,
    probe,
)

__all__ = ["desired", "optional"]

Object = dict[str, Any]

_MAX_MESSAGE_BYTES: Final = 15_728_640
_HOUR_MS: Final = 3_600_000


def desired(
    key: Key, owner: Owner, spec: ClassifierSpec, rollout: Rollout, platform: Platform
) -> list[Object]:
    """Every child that any cluster can hold, in the order in which it is applied.

    Data (the volume, the rollout document) has no owner: it outlives the classifier, and a classifier that is made
    again goes on from it.
    """
    children = [
        _object("v1", "ServiceAccount", key, key.account, "account", owner)
        | {"automountServiceAccountToken": False},
        _object("v1", "ConfigMap", key, key.rollout, "rollout", None)
        | {"data": {ROLLOUT_FILE: rollout.to_json().decode()}},
    ]
    if spec.storage.uri is None:
        children.append(_volume_claim(key, spec))
    children += [
        _service(key, owner),
        _serve(key, owner, spec, platform),
        _collect(key, owner, spec, platform),
        _inference(key, owner, spec, platform),
    ]
    return [sealed(child) for child in children]


def optional(key: Key, owner: Owner, spec: ClassifierSpec, platform: Platform) -> list[Object]:
    """Children of kinds that other operators bring, as far as this cluster serves them."""
    can = platform.capabilities
    children: list[Object] = []
    if spec.broker.strimzi_cluster and can.kafka_topic:
        children += _topics(key, spec, can.kafka_topic)
    if spec.broker.strimzi_cluster and spec.broker.sasl and can.kafka_user:
        children.append(_user(key, spec, can.kafka_user))
    if spec.inference.autoscaling.mode is Mode.ENABLED and can.scaled_object:
        children.append(_scaled_object(key, owner, spec, can.scaled_object))
    if can.pod_monitor:
        children.append(_pod_monitor(key, owner, can.pod_monitor))
    return [sealed(child) for child in children]


def _object(
    api_version: str, kind: str, key: Key, name: str, component: str, owner: Owner | None
) -> Object:
    meta: Object = {
        "name": name,
        "namespace": key.namespace,
        "labels": component_labels(key, component),
    }
    if owner:
        meta["ownerReferences"] = [owner.reference()]
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def _volume_claim(key: Key, spec: ClassifierSpec) -> Object:
    claim: Object = {
        "accessModes": [spec.storage.access_mode],
        "resources": {"requests": {"storage": spec.storage.size}},
    }
    if spec.storage.storage_class_name:
        claim["storageClassName"] = spec.storage.storage_class_name
    return _object("v1", "PersistentVolumeClaim", key, key.lake, "lake", None) | {"spec": claim}


def _service(key: Key, owner: Owner) -> Object:
    # Headless: a gRPC client that knows every pod balances over them, one that knows a virtual address does not.
    return _object("v1", "Service", key, key.serve, "serve", owner) | {
        "spec": {
            "clusterIP": "None",
            "selector": _selector(key, "serve"),
            "ports": [
                {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc", "protocol": "TCP"},
                {"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP"},
            ],
        }
    }


def _selector(key: Key, component: str) -> dict[str, str]:
    labels = component_labels(key, component)
    return {name: labels[name] for name in ("app.kubernetes.io/name", "app.kubernetes.io/instance")}


def _deployment(
    key: Key,
    owner: Owner,
    component: str,
    name: str,
    pod: Object,
    *,
    replicas: int | None,
    strategy: str = "RollingUpdate",
) -> Object:
    spec: Object = {
        "selector": {"matchLabels": _selector(key, component)},
        "strategy": {"type": strategy},
        "template": {"metadata": {"labels": component_labels(key, component)}, "spec": pod},
    }
    # Left out, so that whoever scales the Deployment owns the field.
    if replicas is not None:
        spec["replicas"] = replicas
    return _object("apps/v1", "Deployment", key, name, component, owner) | {"spec": spec}


def _probes(*, start_seconds: int) -> dict[str, Object]:
    return {
        "startupProbe": probe(period=2, failures=start_seconds // 2),
        "readinessProbe": probe(period=5, failures=2),
        "livenessProbe": probe(period=15, failures=4),
    }


def _common(key: Key, spec: ClassifierSpec) -> list[str]:
    return ["--classifier", key.name, "--lake", lake_uri(spec)]


def _stream(key: Key, spec: ClassifierSpec) -> list[str]:
    return ["--broker", broker_url(spec), "--namespace", key.namespace]


def _http() -> list[str]:
    return ["--http", f"0.0.0.0:{HTTP_PORT}"]


def _image(settings: PodSettings, default: str) -> str:
    return settings.image or default


def _resources(settings: PodSettings, default: Any) -> Any:
    if settings.resources is None:
        return default
    given = settings.resources.model_dump(by_alias=True)
    return {name: amounts for name, amounts in given.items() if amounts}


def _inference(key: Key, owner: Owner, spec: ClassifierSpec, platform: Platform) -> Object:
    settings = spec.inference
    container = Container(
        name="inference",
        image=_image(settings, platform.images.inference),
        command=[
            "hemline-inference",
            *_stream(key, spec),
            *_common(key, spec),
            "--rollout",
            ROLLOUT_PATH,
            "--cache",
            CACHE,
            "--threads",
            str(settings.threads),
            "--batch",
            str(settings.max_batch),
            *_http(),
        ],
        resources=_resources(settings, platform.inference_resources),
        ports={"http": HTTP_PORT},
        probes=_probes(start_seconds=600),
        broker=True,
        rollout=True,
    )
    scaled = spec.inference.autoscaling.mode is Mode.ENABLED
    pod = pod_spec(key, spec, platform, settings, container)
    return _deployment(
        key,
        owner,
        "inference",
        key.inference,
        pod,
        replicas=None if scaled else settings.replicas,
    )


def _collect(key: Key, owner: Owner, spec: ClassifierSpec, platform: Platform) -> Object:
    settings = spec.samples.collect
    container = Container(
        name="collect",
        image=_image(settings, platform.images.samples),
        command=["hemline-samples", "collect", *_stream(key, spec), *_common(key, spec), *_http()],
        resources=_resources(settings, platform.samples_resources),
        ports={"http": HTTP_PORT},
        probes=_probes(start_seconds=300),
        broker=True,
    )
    pod = pod_spec(key, spec, platform, settings, container)
    return _deployment(key, owner, "collect", key.collect, pod, replicas=1)


def _serve(key: Key, owner: Owner, spec: ClassifierSpec, platform: Platform) -> Object:
    settings = spec.samples.serve
    image = _image(settings, platform.images.samples)
    resources = _resources(settings, platform.samples_resources)
    fill = Container(
        name="init",
        image=image,
        command=[
            "hemline-samples",
            "init",
            *_common(key, spec),
            "--model",
            spec.model.initial,
            "--data",
            spec.dataset.initial,
        ],
        resources=resources,
    )
    container = Container(
        name="serve",
        image=image,
        command=[
            "hemline-samples",
            "serve",
            *_common(key, spec),
            "--listen",
            f"0.0.0.0:{GRPC_PORT}",
            *_http(),
        ],
        resources=resources,
        ports={"http": HTTP_PORT, "grpc": GRPC_PORT},
        probes=_probes(start_seconds=300),
    )
    pod = pod_spec(key, spec, platform, settings, container, before=[fill])
    return _deployment(key, owner, "serve", key.serve, pod, replicas=settings.replicas)


def _topics(key: Key, spec: ClassifierSpec, version: str) -> list[Object]:
    return [
        _object(f"kafka.strimzi.io/{version}", "KafkaTopic", key, topic, "topic", None)
        | {
            "metadata": {
                "name": topic,
                "namespace": key.namespace,
                "labels": component_labels(key, "topic")
                | {"strimzi.io/cluster": spec.broker.strimzi_cluster},
            },
            "spec": {
                "partitions": spec.topics.partitions,
                "replicas": spec.topics.replicas,
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
    user = _object(
        f"kafka.strimzi.io/{version}", "KafkaUser", key, kafka_user(key), "user", None
    ) | {
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


def _scaled_object(key: Key, owner: Owner, spec: ClassifierSpec, version: str) -> Object:
    scaling = spec.inference.autoscaling
    images = Topics(key.name, key.namespace).images
    if spec.broker.type is BrokerType.PUB_SUB:
        trigger: Object = {
            "type": "gcp-pubsub",
            "metadata": {
                "subscriptionName": f"projects/{spec.broker.address}/subscriptions/{images}.inference",
                "mode": "SubscriptionSize",
                "value": str(scaling.lag),
            },
        }
    else:
        trigger = {
            "type": "kafka",
            "metadata": {
                "bootstrapServers": spec.broker.address,
                "consumerGroup": f"{images}.inference",
                "topic": images,
                "lagThreshold": str(scaling.lag),
                "offsetResetPolicy": "earliest",
            },
        }
    return _object(f"keda.sh/{version}", "ScaledObject", key, key.inference, "inference", owner) | {
        "spec": {
            "scaleTargetRef": {"name": key.inference},
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            "triggers": [trigger],
        }
    }


def _pod_monitor(key: Key, owner: Owner, version: str) -> Object:
    return _object(
        f"monitoring.coreos.com/{version}", "PodMonitor", key, key.monitor, "monitor", owner
    ) | {
        "spec": {
            "selector": {
                "matchLabels": {
                    "app.kubernetes.io/part-of": "hemline",
                    "app.kubernetes.io/instance": key.name,
                }
            },
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics"}],
            "podTargetLabels": ["app.kubernetes.io/instance"],
        }
    }
