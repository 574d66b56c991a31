"""A namespace that is being deleted takes no new objects: the operator leaves it alone."""

from pathlib import Path

import pytest

from hemline_operator.kube import CONFIG_MAP, DEPLOYMENT, FINE_TUNE, Kind
from hemline_operator.testing.cluster import (
    Cluster,
    PlayedKubelet,
    RunningOperator,
    Stage,
    audited,
    denied,
)

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600, func_only=True)]

NAMESPACE = Kind("", "v1", "Namespace", "namespaces")
HELD = {"metadata": {"name": "held", "finalizers": ["hemline.dev/test"]}}


def test_a_namespace_that_is_being_deleted_is_left_alone(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    doomed = f"{namespace}-doomed"
    cluster.create(NAMESPACE, None, {"metadata": {"name": doomed}})
    stage, other = Stage(cluster, doomed), Stage(cluster, namespace)
    running = RunningOperator(cluster, namespace, tmp_path, cluster_wide=True)
    with PlayedKubelet(cluster, doomed), PlayedKubelet(cluster, namespace), running as operator:
        stage.classifier()
        stage.wait_ready()
        cluster.create(CONFIG_MAP, doomed, HELD)  # holds the namespace in its ending
        cluster.delete(NAMESPACE, None, doomed)
        for name in ("mnist-inference", "mnist-collect", "mnist-serve"):
            cluster.delete(DEPLOYMENT, doomed, name)
        cluster.wait("the deployments to go", lambda: not cluster.list(DEPLOYMENT, doomed) or None)

        # Others are served as ever.
        other.classifier()
        other.wait_ready()
        other.fine_tune()
        other.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
        assert "Traceback" not in operator.log.read_text()
        if cluster.folder is not None:
            asked = [
                one
                for one in audited(cluster.folder)
                if one["objectRef"].get("namespace") == doomed
            ]
            refused = [one for one in asked if one["responseStatus"]["code"] == 403]
            assert len(refused) < 10
            assert not denied(asked)
        cluster.patch(CONFIG_MAP, doomed, "held", {"metadata": {"finalizers": None}})
        cluster.wait(
            "the namespace to go", lambda: cluster.get(NAMESPACE, None, doomed) is None or None
        )
        gone = f'classifier="mnist",namespace="{doomed}"'
        cluster.wait("its series to go", lambda: gone not in operator.ask("/metrics").text or None)
