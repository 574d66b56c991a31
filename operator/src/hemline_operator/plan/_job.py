"""The one Job of a fine-tuning run."""

from typing import Any, Final

from hemline_api.resources import ClassifierSpec, GatePolicy, TrainerSpec
from hemline_operator.plan._names import Key, Owner, component_labels
from hemline_operator.plan._platform import Platform
from hemline_operator.plan._pods import (
    GRPC_PORT,
    HTTP_PORT,
    Container,
    lake_uri,
    pod_spec,
)

__all__ = ["FINE_TUNE_LABEL", "QUEUE_LABEL", "job"]

FINE_TUNE_LABEL: Final = "hemline.dev/fine-tune"
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
_HOPELESS: Final = (2, 3)
"""Exit codes after which another pod would end the same way: wrong options, too little data."""


def job(
    key: Key,
    owner: Owner,
    spec: ClassifierSpec,
    trainer: TrainerSpec,
    gate: GatePolicy,
    platform: Platform,
    *,
    base_version: int,
) -> dict[str, Any]:
    """The Job of the FineTune ``owner``, suspended: it is let loose once its uid is on record.

    Nothing cleans it up but the deletion of its FineTune: a Job that is there is one that is not made again.
    """
    resources = (
        trainer.resources.model_dump(by_alias=True)
        if trainer.resources
        else dict(platform.trainer_resources)
    )
    if trainer.gpus:
        gpus = {trainer.gpu_resource_name: str(trainer.gpus)}
        resources = {**resources, "limits": {**resources.get("limits", {}), **gpus}}
    container = Container(
        name="trainer",
        image=trainer.image or platform.images.trainer,
        command=[
            "hemline-trainer",
            "--samples",
            f"{key.serve}.{key.namespace}.svc:{GRPC_PORT}",
            "--lake",
            lake_uri(spec),
            "--classifier",
            key.name,
            "--uid",
            owner.uid,
            "--base",
            str(base_version),
            "--steps",
            str(trainer.steps),
            "--batch-size",
            str(trainer.batch_size),
            "--max-frozen-drop",
            gate.max_frozen_drop,
            "--max-class-drop",
            gate.max_class_drop,
            "--significance",
            gate.significance,
            "--termination-message",
            "/dev/termination-log",
            "--work",
            "/work",
            "--http",
            f"0.0.0.0:{HTTP_PORT}",
        ],
        resources=resources,
        ports={"http": HTTP_PORT},
    )
    labels = component_labels(key, "trainer") | {FINE_TUNE_LABEL: owner.name}
    if trainer.queue_name:
        labels[QUEUE_LABEL] = trainer.queue_name
    pod = pod_spec(key, spec, platform, trainer, container, work=True, grace_seconds=120) | {
        "restartPolicy": "Never"
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": owner.name,
            "namespace": key.namespace,
            "labels": labels,
            "ownerReferences": [owner.reference()],
        },
        "spec": {
            "suspend": True,
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": trainer.backoff_limit,
            "activeDeadlineSeconds": trainer.deadline_seconds,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": "trainer",
                            "operator": "In",
                            "values": [*_HOPELESS],
                        },
                    },
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
