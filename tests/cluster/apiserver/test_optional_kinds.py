"""Strimzi, KEDA and the Prometheus operator: absent, come later, and no longer wanted."""

import subprocess
from pathlib import Path

import pytest
from aiohttp import web

from hemline_operator.kube import (
    CLASSIFIER,
    DEPLOYMENT,
    KAFKA_TOPIC,
    KAFKA_USER,
    POD_MONITOR,
    SCALED_OBJECT,
    TRIGGER_AUTHENTICATION,
)
from hemline_operator.testing.cluster import (
    Cluster,
    PlayedKubelet,
    RunningOperator,
    Stage,
    WriteProxy,
    condition,
)

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600, func_only=True)]

GROUPS = ("kafka.strimzi.io", "keda.sh", "monitoring.coreos.com")
STRIMZI = {
    "type": "Kafka",
    "address": "main-kafka-bootstrap:9093",
    "strimziCluster": "main",
    "tls": "Enabled",
    "sasl": "SCRAM-SHA-512",
}


class HidingProxy(WriteProxy):
    """A cluster in which nobody has installed these groups yet."""

    hidden = GROUPS

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        if any(request.path.startswith(f"/apis/{group}") for group in self.hidden):
            return web.json_response({"reason": "NotFound"}, status=404)
        return await super()._pass(request)


@pytest.mark.usefixtures("foreign_kinds")
def test_kinds_that_are_absent_are_conditions_and_are_used_once_they_come(
    cluster: Cluster, stage: Stage, player: PlayedKubelet, tmp_path: Path
) -> None:
    options = ["--freshness", "1"]
    with HidingProxy(cluster.server, cluster.context, lambda _: None) as proxy:
        running = RunningOperator(
            cluster, stage.namespace, tmp_path, server=proxy.address, options=options
        )
        with running as operator:
            stage.classifier(broker=STRIMZI, inference={"autoscaling": {"mode": "Enabled"}})
            missing = stage.wait_condition(CLASSIFIER, "mnist", "TopicsReady", "StrimziMissing")
            assert "KafkaTopic" in missing["message"]
            stage.wait_condition(CLASSIFIER, "mnist", "Autoscaled", "KedaMissing")
            stage.cluster.wait(
                "the pods all the same", lambda: stage.get(DEPLOYMENT, "mnist-inference")
            )
            assert condition(stage.get(CLASSIFIER), "Ready")["status"] == "False"

            proxy.hidden = ()
            stage.wait_condition(CLASSIFIER, "mnist", "TopicsReady", "Applied")
            stage.wait_condition(CLASSIFIER, "mnist", "Autoscaled", "Applied")
            stage.wait_ready()
            name = stage.namespace
            made = {
                kind: stage.cluster.wait(
                    f"{kind.name} {called}",
                    lambda kind=kind, called=called: stage.get(kind, called),
                )
                for kind, called in (
                    (KAFKA_TOPIC, f"{name}.mnist.images"),
                    (KAFKA_USER, f"{name}.mnist"),
                    (SCALED_OBJECT, "mnist-inference"),
                    (TRIGGER_AUTHENTICATION, "mnist-inference"),
                    (POD_MONITOR, "mnist-hemline"),
                )
            }
            assert operator.running
            assert "Traceback" not in operator.log.read_text()
    topic = made[KAFKA_TOPIC]
    assert "ownerReferences" not in topic["metadata"]
    assert topic["metadata"]["labels"]["strimzi.io/cluster"] == "main"
    assert "ownerReferences" not in made[KAFKA_USER]["metadata"]
    for kind in (SCALED_OBJECT, TRIGGER_AUTHENTICATION, POD_MONITOR):
        (owner,) = made[kind]["metadata"]["ownerReferences"]
        assert owner["name"] == "mnist"


@pytest.mark.usefixtures("foreign_kinds")
def test_scaling_that_is_switched_off_ends(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    broker = {**STRIMZI, "secretName": "login"}
    stage.classifier(broker=broker, inference={"autoscaling": {"mode": "Enabled"}})
    stage.wait_condition(CLASSIFIER, "mnist", "Autoscaled", "Applied")
    for kind in (SCALED_OBJECT, TRIGGER_AUTHENTICATION):
        stage.cluster.wait(kind.name, lambda kind=kind: stage.get(kind, "mnist-inference"))
    # The replicas are the autoscaler's: what it says stays.
    scale = {"spec": {"replicas": 3}}
    stage.cluster.patch(DEPLOYMENT, stage.namespace, "mnist-inference", scale, "/scale")
    stage.cluster.wait(
        "three pods",
        lambda: (stage.get(CLASSIFIER) or {})["status"].get("readyReplicas") == 3 or None,
    )
    off = {"spec": {"inference": {"autoscaling": {"mode": "Disabled"}, "replicas": 1}}}
    stage.cluster.patch(CLASSIFIER, stage.namespace, "mnist", off)
    for kind in (SCALED_OBJECT, TRIGGER_AUTHENTICATION):
        stage.cluster.wait(
            f"no {kind.name}",
            lambda kind=kind: stage.get(kind, "mnist-inference") is None or None,
        )
    stage.cluster.wait(
        "one pod",
        lambda: (stage.get(DEPLOYMENT, "mnist-inference") or {})["spec"]["replicas"] == 1 or None,
    )
    stage.wait_ready()
    assert not condition(stage.get(CLASSIFIER), "Autoscaled")


def test_a_definition_that_goes_and_comes_back_stops_nothing(
    cluster: Cluster, stage: Stage, player: PlayedKubelet, tmp_path: Path, foreign_kinds: Path
) -> None:
    if cluster.folder is None:
        pytest.skip("the API server is not the tests' own: its definitions are left alone")
    file = foreign_kinds / "keda" / "keda.sh_scaledobjects.yaml"
    run = ["kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    with RunningOperator(
        cluster, stage.namespace, tmp_path, options=["--freshness", "1", "--resync", "5"]
    ) as operator:
        stage.classifier(inference={"autoscaling": {"mode": "Enabled"}})
        stage.wait_condition(CLASSIFIER, "mnist", "Autoscaled", "Applied")
        subprocess.run([*run, "delete", "-f", file], check=True, capture_output=True)
        try:
            stage.wait_condition(CLASSIFIER, "mnist", "Autoscaled", "KedaMissing")
        finally:
            apply = [*run, "apply", "--server-side", "-f", file]
            subprocess.run(apply, check=True, capture_output=True)
        stage.wait_condition(CLASSIFIER, "mnist", "Autoscaled", "Applied")
        stage.cluster.wait("the object", lambda: stage.get(SCALED_OBJECT, "mnist-inference"))
        assert operator.running
        assert "Traceback" not in operator.log.read_text()
