"""The kit checks itself: what the other tests take for granted of its node, seen from pods, the host and kubectl."""

import re
import subprocess
import time

import pytest
from cluster_kit import KIT, Node, NodeKafka, Unavailable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]


def test_the_kit_is_what_it_says(node: Node, node_kafka: NodeKafka) -> None:
    if node.folder is None:
        pytest.skip("a cluster of your own is not the kit's to check")
    check = KIT / "check" / "check.sh"
    done = subprocess.run([check], capture_output=True, text=True, check=False, timeout=800)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    for seen in (
        "two restricted pods ready",
        "a pod that is not restricted: refused",
        "both pods answered",
        "pods listed with the service account's token",
        "14 MiB there and back through 10.251.0.1:29094",
        "ConfigMap update seen by the pod nudged",
        "ConfigMap update seen by the pod left alone",
        "namespace, claim and volume gone",
    ):
        assert seen in done.stdout, done.stdout
    assert re.search(r"^Phase: +Succeeded$", done.stdout, re.MULTILINE), done.stdout


def test_a_killed_kubelet_comes_back(node: Node) -> None:
    try:
        node.kill("kubelet")
    except Unavailable as error:
        pytest.skip(str(error))
    renewed = ["-n", "kube-node-lease", "get", "lease", "node", "-o", "jsonpath={.spec.renewTime}"]
    before, deadline = node.kubectl(*renewed), time.monotonic() + 120
    while node.kubectl(*renewed) == before:
        assert time.monotonic() < deadline, "the kubelet does not renew its lease"
        time.sleep(0.5)
    node.kubectl("wait", "--for=condition=Ready", "node/node", "--timeout=120s")
