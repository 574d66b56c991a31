"""Each image as a pod on a real node, under the restricted Pod Security Standard with a read-only root file system."""

import json
from pathlib import Path
from typing import Any

import pytest
from cluster_kit import Images, Node, version

pytestmark = pytest.mark.cluster

INSPECT = Path(__file__).with_name("inspect_image.py").read_text()
PACKAGES = {
    "operator": {"api", "operator"},
    "inference": {"api", "runtime", "broker", "model", "store", "inference"},
    "samples": {"api", "runtime", "broker", "model", "store", "samples"},
    "client-sim": {"api", "runtime", "broker", "model", "client-sim"},
    "trainer": {"api", "runtime", "model", "store", "trainer"},
}


def pod(name: str, image: str, **container: Any) -> dict[str, Any]:
    """The strictest pod there is: nothing at all to write on, and the user that the image itself names."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    **container,
                }
            ],
        },
    }


def outcome(node: Node, namespace: str, name: str) -> tuple[int, str]:
    """Exit code and output of a pod that comes to its end by itself."""
    ended = "jsonpath={.status.containerStatuses[0].state.terminated}"
    node.kubectl("-n", namespace, "wait", f"--for={ended}", f"pod/{name}", "--timeout=300s")
    status = node.get("-n", namespace, "pod", name)["status"]["containerStatuses"][0]
    return status["state"]["terminated"]["exitCode"], node.kubectl("-n", namespace, "logs", name)


def test_every_entry_point_explains_itself(node: Node, images: Images, node_namespace: str) -> None:
    node.apply(
        *(pod(name, images[name], args=["--help"]) for name in PACKAGES), namespace=node_namespace
    )
    for name in PACKAGES:
        code, output = outcome(node, node_namespace, name)
        assert code == 0, output
        assert f"Usage: hemline-{name}" in output, output


def test_an_image_holds_its_packages_and_nothing_to_build_with(
    node: Node, images: Images, node_namespace: str
) -> None:
    command = ["python", "-c", INSPECT]
    node.apply(
        *(pod(name, images[name], command=command) for name in PACKAGES), namespace=node_namespace
    )
    for name, packages in PACKAGES.items():
        code, output = outcome(node, node_namespace, name)
        assert code == 0, output
        found = json.loads(output.splitlines()[-1])
        assert found["user"] == [65532, 65532], name
        assert found["ours"] == sorted(f"hemline-{package}" for package in packages), name
        assert found["versions"] == [version()], name
        assert found["training"] == (["tensorflow", "keras"] if name == "trainer" else []), name
        assert found["tables"] == (["lance", "pyarrow", "duckdb"] if name == "samples" else []), (
            name
        )
        for nothing in ("tools", "installers", "writable", "without_bytecode"):
            assert found[nothing] == [], (name, nothing)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (
            "inference",
            ["--broker", "sqlite:////tmp/b.db", "--lake", "/tmp/lake", "--rollout", "/tmp/r.json"],
        ),
        ("samples", ["collect", "--broker", "sqlite:////tmp/b.db", "--lake", "/tmp/lake"]),
    ],
)
def test_a_service_ends_cleanly_when_it_is_told_to(
    node: Node, images: Images, node_namespace: str, name: str, arguments: list[str]
) -> None:
    http = ["--classifier", "mnist", "--http", "0.0.0.0:9090"]
    ready = {"httpGet": {"path": "/metrics", "port": 9090}, "periodSeconds": 1}
    manifest = pod(
        name,
        images[name],
        args=[*arguments, *http],
        readinessProbe=ready,
        volumeMounts=[{"name": "tmp", "mountPath": "/tmp"}],
    )
    manifest["spec"]["volumes"] = [{"name": "tmp", "emptyDir": {}}]
    manifest["spec"]["terminationGracePeriodSeconds"] = 60
    # With a finalizer the pod stays to be looked at after its end.
    manifest["metadata"]["finalizers"] = ["hemline.dev/test"]
    where = ["-n", node_namespace]
    node.apply(manifest, namespace=node_namespace)
    try:
        node.kubectl(*where, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=120s")
        node.kubectl(*where, "delete", "pod", name, "--wait=false")
        code, output = outcome(node, node_namespace, name)
    finally:
        patch = '{"metadata": {"finalizers": null}}'
        node.kubectl(*where, "patch", "pod", name, "--type=merge", "-p", patch)
    assert code == 0, output
