"""Each image as a pod on a real node, under the restricted Pod Security Standard with a read-only root file system."""

from typing import Any

import pytest
from cluster_kit import Images, Node

pytestmark = pytest.mark.cluster

IMAGES = ("operator", "inference", "samples", "client-sim", "trainer")


def pod(image: str, **container: Any) -> dict[str, Any]:
    """The strictest pod there is: nothing to write on at all, and the user that the image itself names."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": image.split("/")[-1].split(":")[0]},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
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


def run_to_end(node: Node, namespace: str, manifest: dict[str, Any]) -> tuple[int, str]:
    """Exit code and output of a pod."""
    name = manifest["metadata"]["name"]
    node.apply(manifest, namespace=namespace)
    ended = "jsonpath={.status.containerStatuses[0].state.terminated}"
    node.kubectl("-n", namespace, "wait", f"--for={ended}", f"pod/{name}", "--timeout=170s")
    status = node.get("-n", namespace, "pod", name)["status"]
    code = status["containerStatuses"][0]["state"]["terminated"]["exitCode"]
    return code, node.kubectl("-n", namespace, "logs", name)


@pytest.mark.parametrize("name", IMAGES)
def test_the_entry_point_explains_itself(
    node: Node, images: Images, node_namespace: str, name: str
) -> None:
    code, output = run_to_end(node, node_namespace, pod(images[name], args=["--help"]))
    assert code == 0, output
    assert "Usage: hemline-" + name in output, output
