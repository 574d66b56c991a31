"""What should be there for a classifier: one pure function for create, update, resume and resync alike."""

import hashlib
from typing import Any

from hemline_api.resources import ClassifierSpec, Mode, PodSettings
from hemline_api.rollout import Rollout
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
    lake_uri,
    pod_spec,
    probe,
)

__all__ = ["child", "desired"]

Object = dict[str, Any]


def desired(
    key: Key, owner: Owner, spec: ClassifierSpec, rollout: Rollout, platform: Platform
) -> list[Object]:
    """Every child that any cluster can hold, in the order in which it is applied.

    Data (the volume, the rollout document) has no owner: it outlives the classifier, and a classifier that is made
    again goes on from it.
    """
    children = [
        _account(key, owner, spec),
        child("v1", "ConfigMap", key, key.rollout, "rollout", None)
        | {"data": {ROLLOUT_FILE: rollout.to_json().decode()}},
    ]
    if spec.storage.uri is None:
        children.append(_volume_claim(key, spec))
    children += [
        _service(key, owner),
        _serve(key, owner, spec, platform),
        _collect(key, owner, spec, platform),
        _inference(key, owner, spec, platform),
        _upkeep(key, owner, spec, platform),
    ]
    return [sealed(child) for child in children]


def child(
    api_version: str, kind: str, key: Key, name: str, component: str, owner: Owner | None
) -> Object:
    """An object of a classifier, with nothing but its head."""
    meta: Object = {
        "name": name,
        "namespace": key.namespace,
        "labels": component_labels(key, component),
    }
    if owner:
        meta["ownerReferences"] = [owner.reference()]
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def _account(key: Key, owner: Owner, spec: ClassifierSpec) -> Object:
    account = child("v1", "ServiceAccount", key, key.account, "account", owner)
    if spec.service_account.annotations:
        account["metadata"]["annotations"] = dict(spec.service_account.annotations)
    # The pods ask nothing of Kubernetes. What gives them a cloud's identity mounts a token of its own.
    return account | {"automountServiceAccountToken": False}


def _volume_claim(key: Key, spec: ClassifierSpec) -> Object:
    claim: Object = {
        "accessModes": [spec.storage.access_mode],
        "resources": {"requests": {"storage": spec.storage.size}},
    }
    if spec.storage.storage_class_name:
        claim["storageClassName"] = spec.storage.storage_class_name
    return child("v1", "PersistentVolumeClaim", key, key.lake, "lake", None) | {"spec": claim}


def _service(key: Key, owner: Owner) -> Object:
    # Headless: a gRPC client that knows every pod balances over them, one that knows a virtual address does not.
    return child("v1", "Service", key, key.serve, "serve", owner) | {
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
    return child("apps/v1", "Deployment", key, name, component, owner) | {"spec": spec}


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
    return _deployment(key, owner, "collect", key.collect, pod, replicas=settings.replicas)


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


def _upkeep(key: Key, owner: Owner, spec: ClassifierSpec, platform: Platform) -> Object:
    settings = spec.samples.upkeep
    expire = settings.expire_unlabelled_hours
    container = Container(
        name="upkeep",
        image=_image(settings, platform.images.samples),
        command=[
            "hemline-samples",
            "upkeep",
            *_common(key, spec),
            "--keep-versions",
            str(settings.keep_versions_hours),
            *(["--expire-unlabelled", str(expire)] if expire else []),
        ],
        resources=_resources(settings, platform.samples_resources),
    )
    labels = component_labels(key, "upkeep")
    pod = pod_spec(key, spec, platform, settings, container) | {"restartPolicy": "Never"}
    # A minute that differs between classifiers, so that not all of a cluster's run at once.
    minute = int.from_bytes(hashlib.sha256(str(key).encode()).digest()[:4]) % 60
    return child("batch/v1", "CronJob", key, key.upkeep, "upkeep", owner) | {
        "spec": {
            "schedule": settings.schedule or f"{minute} * * * *",
            "suspend": settings.mode is Mode.DISABLED,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 600,
            "successfulJobsHistoryLimit": 1,
            "failedJobsHistoryLimit": 1,
            "jobTemplate": {
                "spec": {
                    "backoffLimit": 0,
                    "activeDeadlineSeconds": 3600,
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                }
            },
        }
    }
