"""The operator's role is minimal: the audit log of a life that uses everything, compared with its rules."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from hemline_operator.kube import (
    CLASSIFIER,
    CONFIG_MAP,
    DEPLOYMENT,
    FINE_TUNE,
    JOB,
    KAFKA_TOPIC,
    KAFKA_USER,
    POD_MONITOR,
    SCALED_OBJECT,
    TRIGGER_AUTHENTICATION,
    Kind,
)
from hemline_operator.manifests import RULES
from hemline_operator.testing.cluster import (
    Cluster,
    PlayedKubelet,
    RunningOperator,
    Stage,
    audited,
    denied,
    granted,
    uses,
)

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900, func_only=True)]

NAMESPACE = Kind("", "v1", "Namespace", "namespaces")
RBAC = "rbac.authorization.k8s.io"
CLUSTER_ROLE = Kind(RBAC, "v1", "ClusterRole", "clusterroles")
CLUSTER_ROLE_BINDING = Kind(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings")


def run_to_the_end(stage: Stage, player: PlayedKubelet, name: str, version: int) -> None:
    stage.wait_condition(FINE_TUNE, name, "Succeeded", "Running")
    found = stage.get(FINE_TUNE, name)
    assert found is not None
    report = player.report(found["metadata"]["uid"], version=version, base=version - 1)
    player.end_trainer(name, report.digest().decode())
    stage.wait_condition(FINE_TUNE, name, "Promoted", "Promoted")


@pytest.mark.usefixtures("foreign_kinds")
@pytest.mark.parametrize("cluster_wide", [False, True], ids=["namespaced", "cluster-wide"])
def test_no_rule_is_unused_and_no_request_is_denied(
    cluster: Cluster, namespace: str, tmp_path: Path, cluster_wide: bool
) -> None:
    if cluster.folder is None:
        pytest.skip("the API server is not the tests' own: its audit log cannot be read")
    stage = Stage(cluster, namespace)
    options = ["--freshness", "1"]
    running = RunningOperator(
        cluster, namespace, tmp_path, cluster_wide=cluster_wide, options=options
    )
    with PlayedKubelet(cluster, namespace) as player, running as operator:
        stage.classifier(
            broker={
                "type": "Kafka",
                "address": "kafka:9092",
                "strimziCluster": "main",
                "sasl": "SCRAM-SHA-512",
            },
            fineTune={"every": 100, "keep": 1},
            inference={"autoscaling": {"mode": "Enabled"}},
            trainer={"gpus": 0},
        )
        stage.wait_ready()
        for number in (1, 2):
            player.samples.labelled = 100 * number
            run_to_the_end(stage, player, f"mnist-{number}", number + 1)
        cluster.wait("the older run to go", lambda: stage.get(FINE_TUNE, "mnist-1") is None or None)
        stage.fine_tune("gone")
        stage.wait_condition(FINE_TUNE, "gone", "Succeeded", "Running")
        cluster.delete(JOB, namespace, "gone")
        stage.wait_condition(FINE_TUNE, "gone", "Succeeded", "JobGone")
        cluster.delete(DEPLOYMENT, namespace, "mnist-serve")
        cluster.wait("the deployment to come back", lambda: stage.get(DEPLOYMENT, "mnist-serve"))
        for kind, name in (
            (KAFKA_TOPIC, f"{namespace}.mnist.images"),
            (KAFKA_USER, f"{namespace}.mnist"),
            (SCALED_OBJECT, "mnist-inference"),
            (TRIGGER_AUTHENTICATION, "mnist-inference"),
            (POD_MONITOR, "mnist-hemline"),
        ):
            cluster.wait(f"{kind.name} {name}", lambda kind=kind, name=name: stage.get(kind, name))
        off = {"spec": {"inference": {"autoscaling": {"mode": "Disabled"}}}}
        cluster.patch(CLASSIFIER, namespace, "mnist", off)
        cluster.wait(
            "scaling to end",
            lambda: stage.get(TRIGGER_AUTHENTICATION, "mnist-inference") is None or None,
        )
        assert "Traceback" not in operator.log.read_text()

    account = f"system:serviceaccount:{namespace}:hemline-operator"
    seen = [one for one in audited(cluster.folder) if one["user"]["username"] == account]
    assert not denied(seen)
    assert granted() - uses(seen) == set(), "rules that nothing uses"
    assert uses(seen) - granted() == set(), "requests that no rule covers"


def test_a_request_that_is_denied_would_be_seen(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    """The check above can fail: a request without a right counts, one that admission refuses does not."""
    if cluster.folder is None:
        pytest.skip("the API server is not the tests' own: its audit log cannot be read")
    operator = RunningOperator(cluster, namespace, tmp_path)
    mine = {"Authorization": f"Bearer {operator.token}"}
    account = f"system:serviceaccount:{namespace}:hemline-operator"

    def status(method: str, path: str, body: Any = None) -> int:
        with httpx.Client(base_url=cluster.server, verify=cluster.context_without_user) as http:
            return http.request(method, path, json=body, headers=mine).status_code

    def seen() -> list[dict[str, Any]]:
        return [one for one in audited(cluster.folder) if one["user"]["username"] == account]

    held = {"metadata": {"name": "held", "finalizers": ["hemline.dev/test"]}}
    cluster.create(CONFIG_MAP, namespace, held)
    # The account and its role go with the namespace: the right is given from outside of it.
    cluster_role = {"metadata": {"name": namespace}, "rules": list(RULES)}
    binding = {
        "metadata": {"name": namespace},
        "roleRef": {
            "apiGroup": CLUSTER_ROLE.group,
            "kind": CLUSTER_ROLE.name,
            "name": namespace,
        },
        "subjects": [
            {"kind": "ServiceAccount", "name": "hemline-operator", "namespace": namespace}
        ],
    }
    cluster.create(CLUSTER_ROLE, None, cluster_role)
    cluster.create(CLUSTER_ROLE_BINDING, None, binding)
    try:
        cluster.delete(NAMESPACE, None, namespace)
        path = CONFIG_MAP.path(namespace)
        cluster.wait(
            "a refusal by admission",
            lambda: status("POST", path, {"metadata": {"name": "late"}}) == 403 or None,
        )
        assert not denied(seen())
        assert status("GET", f"/api/v1/namespaces/{namespace}/secrets") == 403
        cluster.wait("the audit log to have it", lambda: denied(seen()) or None)
        assert denied(seen()) == {("", "secrets", "list")}
    finally:
        cluster.patch(CONFIG_MAP, namespace, "held", {"metadata": {"finalizers": None}})
        cluster.delete(CLUSTER_ROLE_BINDING, None, namespace)
        cluster.delete(CLUSTER_ROLE, None, namespace)
