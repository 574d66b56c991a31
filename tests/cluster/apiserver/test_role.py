"""The operator's role is minimal: the audit log of a life that uses everything, compared with its rules."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hemline_operator.kube import (
    CLASSIFIER,
    DEPLOYMENT,
    FINE_TUNE,
    JOB,
    KAFKA_TOPIC,
    KAFKA_USER,
    POD_MONITOR,
    SCALED_OBJECT,
)
from hemline_operator.manifests import OPTIONAL_RULES, RULES
from hemline_operator.testing.cluster import Cluster, PlayedKubelet, RunningOperator, Stage

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900, func_only=True)]

Use = tuple[str, str, str]


def granted() -> set[Use]:
    return {
        (group, resource, verb)
        for rule in (*RULES, *OPTIONAL_RULES)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def entries(folder: Path, user: str) -> Iterator[dict[str, Any]]:
    with (folder / "logs" / "audit.jsonl").open() as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["user"]["username"] == user and "objectRef" in entry:
                yield entry


def use_of(entry: dict[str, Any]) -> Use:
    about = entry["objectRef"]
    resource = about["resource"] + (f"/{about['subresource']}" if "subresource" in about else "")
    return about.get("apiGroup", ""), resource, entry["verb"]


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
            (POD_MONITOR, "mnist-hemline"),
        ):
            assert stage.get(kind, name) is not None, (kind.name, name)
        made = stage.get(CLASSIFIER)
        assert made is not None
        assert "Traceback" not in operator.log.read_text()

    seen = list(entries(cluster.folder, f"system:serviceaccount:{namespace}:hemline-operator"))
    denied = [use_of(one) for one in seen if one["responseStatus"]["code"] in (401, 403)]
    assert not denied
    used = {use_of(one) for one in seen}
    # An apply that makes its object is one request, named patch and answered with 201: it needs both verbs.
    used |= {
        (group, resource, "create")
        for one in seen
        for group, resource, verb in [use_of(one)]
        if verb == "patch" and one["responseStatus"]["code"] == 201
    }
    assert granted() - used == set(), "rules that nothing uses"
    assert used - granted() == set(), "requests that no rule covers"
