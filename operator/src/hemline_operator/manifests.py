"""``python -m hemline_operator.manifests FOLDER``: the operator's own manifests, for people who do not use Helm.

The rules here are the operator's whole role: a test compares them with the API server's audit log.
"""

import sys
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["OPTIONAL_RULES", "RULES", "manifests", "render"]

Object = dict[str, Any]


def _rule(group: str, resources: list[str], *verbs: str) -> Object:
    return {"apiGroups": [group], "resources": resources, "verbs": list(verbs)}


_KEEP: Final = ("list", "watch", "create", "patch")

RULES: Final = (
    _rule("hemline.dev", ["imageclassifiers"], "list", "watch"),
    _rule("hemline.dev", ["finetunes"], "list", "watch", "create", "delete"),
    _rule("hemline.dev", ["imageclassifiers/status", "finetunes/status"], "patch"),
    _rule("", ["configmaps", "persistentvolumeclaims", "serviceaccounts", "services"], *_KEEP),
    _rule("apps", ["deployments"], *_KEEP),
    _rule("batch", ["jobs"], "get", *_KEEP),
    _rule("batch", ["cronjobs"], *_KEEP),
    _rule("", ["pods"], "list", "watch", "patch"),
    _rule("", ["events"], "create"),
)
"""What the operator does in every cluster."""

OPTIONAL_RULES: Final = (
    _rule("kafka.strimzi.io", ["kafkatopics", "kafkausers"], "create", "patch"),
    _rule("keda.sh", ["scaledobjects", "triggerauthentications"], "create", "patch", "delete"),
    _rule("monitoring.coreos.com", ["podmonitors"], "create", "patch"),
)
"""What it does where Strimzi, KEDA and the Prometheus operator are: leave out what is not there."""

_NAME: Final = "hemline-operator"
_LABELS: Final = {
    "app.kubernetes.io/name": _NAME,
    "app.kubernetes.io/part-of": "hemline",
}
_SELECTOR: Final = {"app.kubernetes.io/name": _NAME}


def manifests(namespace: str, *, cluster_wide: bool) -> list[Object]:
    """Service account, role, binding and Deployment of the operator.

    Args:
        namespace: where it runs, and without ``cluster_wide`` the only one that it looks after.
        cluster_wide: look after every namespace.
    """
    scope = "ClusterRole" if cluster_wide else "Role"
    rules = [*RULES, *OPTIONAL_RULES]
    role = _object(f"{scope}", namespace, cluster=cluster_wide) | {"rules": rules}
    binding = _object(f"{scope}Binding", namespace, cluster=cluster_wide) | {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": scope, "name": _NAME},
        "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": namespace}],
    }
    return [
        _object("ServiceAccount", namespace),
        role,
        binding,
        _deployment(namespace, cluster_wide=cluster_wide),
    ]


def _object(kind: str, namespace: str, *, cluster: bool = False) -> Object:
    versions = {"ServiceAccount": "v1", "Deployment": "apps/v1"}
    meta: Object = {"name": _NAME, "labels": dict(_LABELS)}
    if not cluster:
        meta["namespace"] = namespace
    version = versions.get(kind, "rbac.authorization.k8s.io/v1")
    return {"apiVersion": version, "kind": kind, "metadata": meta}


def _deployment(namespace: str, *, cluster_wide: bool) -> Object:
    command = ["hemline-operator"]
    if not cluster_wide:
        command += ["--namespace", namespace]
    container: Object = {
        "name": "operator",
        "image": "hemline/operator:0.1.0",
        "command": command,
        "ports": [{"name": "http", "containerPort": 9090, "protocol": "TCP"}],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108  # the pod's own
        "resources": {
            "requests": {"cpu": "50m", "memory": "128Mi"},
            "limits": {"memory": "512Mi"},
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": "http"},
            "periodSeconds": 20,
            "timeoutSeconds": 5,
        },
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 5},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }
    pod: Object = {
        "serviceAccountName": _NAME,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return _object("Deployment", namespace) | {
        "spec": {
            # One at a time: there is no leader election, and two would only get in each other's way.
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _SELECTOR},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        }
    }


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        return True


def render() -> dict[str, str]:
    """The text of each file by its name."""
    files = {}
    for name, cluster_wide in (("operator.yaml", True), ("operator-namespaced.yaml", False)):
        scope = "every namespace" if cluster_wide else "one namespace"
        namespace = "hemline" if cluster_wide else "default"
        head = (
            "# Generated from hemline_operator.manifests by `make generate`: do not edit.\n"
            f"# The operator, looking after {scope}. Apply k8s/crds first.\n"
        )
        objects = manifests(namespace, cluster_wide=cluster_wide)
        if cluster_wide:
            space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
            objects = [space, *objects]
        text = yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=120)
        files[name] = head + text
    return files


def main() -> None:
    """Write every file into the folder that was given."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m hemline_operator.manifests FOLDER")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
