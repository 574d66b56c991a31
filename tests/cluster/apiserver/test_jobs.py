"""The one Job of a run, as the API server holds it."""

from typing import Any

import pytest

from hemline_operator.kube import CLASSIFIER, FINE_TUNE, JOB, POD, Kind
from hemline_operator.testing.cluster import PlayedKubelet, RunningOperator, Stage, condition

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600, func_only=True)]

PRIORITY_CLASS = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses")
RUNTIME_CLASS = Kind("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses")

SETTINGS: dict[str, Any] = {
    "gpus": 2,
    "gpuResourceName": "amd.com/gpu",
    "runtimeClassName": "hemline-test",
    "nodeSelector": {"accelerator": "mi300"},
    "tolerations": [{"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "priorityClassName": "hemline-test",
    "queueName": "gpus",
    "deadlineSeconds": 600,
    "backoffLimit": 1,
    "steps": 20,
    "batchSize": 32,
    "resources": {"requests": {"cpu": "2", "memory": "4Gi"}},
}


@pytest.fixture
def classes(stage: Stage) -> Any:
    """A priority class and a runtime class: the API server refuses pods that name others."""
    made = (
        (PRIORITY_CLASS, {"metadata": {"name": "hemline-test"}, "value": 1}),
        (RUNTIME_CLASS, {"metadata": {"name": "hemline-test"}, "handler": "none"}),
    )
    for kind, manifest in made:
        stage.cluster.delete(kind, None, "hemline-test")
        stage.cluster.create(kind, None, manifest)
    yield
    for kind, _ in made:
        stage.cluster.delete(kind, None, "hemline-test")


@pytest.mark.usefixtures("classes")
@pytest.mark.parametrize("by", ["classifier", "run"])
def test_every_setting_of_the_trainer_reaches_the_pod(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator, by: str
) -> None:
    """Named by the classifier, or by the run itself, which then holds alone. Kueue lets the Job loose."""
    stage.classifier(**({"trainer": SETTINGS} if by == "classifier" else {}))
    stage.fine_tune(**({"trainer": SETTINGS} if by == "run" else {}))
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Queued")
    job = stage.get(JOB, "now")
    assert job is not None
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert job["spec"]["suspend"] is True
    assert job["spec"]["activeDeadlineSeconds"] == 600
    assert job["spec"]["backoffLimit"] == 1
    assert not stage.cluster.list(POD, stage.namespace, "job-name=now")

    # What Kueue does when the queue has room.
    stage.cluster.patch(JOB, stage.namespace, "now", {"spec": {"suspend": False}})
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
    (pod,) = stage.cluster.list(POD, stage.namespace, "job-name=now")
    spec = pod["spec"]
    assert spec["runtimeClassName"] == "hemline-test"
    assert spec["nodeSelector"] == {"accelerator": "mi300"}
    assert SETTINGS["tolerations"][0] in spec["tolerations"]
    assert spec["priorityClassName"] == "hemline-test"
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["amd.com/gpu"] == "2"
    assert container["resources"]["requests"]["cpu"] == "2"
    options = dict(zip(container["command"][1::2], container["command"][2::2], strict=True))
    assert options["--steps"] == "20"
    assert options["--batch-size"] == "32"
    assert options["--samples"] == f"mnist-serve.{stage.namespace}.svc:50051"


def test_no_gpu_is_asked_for_where_none_is_wanted(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(trainer={"gpus": 0})
    stage.fine_tune()
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
    (pod,) = stage.cluster.list(POD, stage.namespace, "job-name=now")
    assert "gpu" not in str(pod["spec"]["containers"][0]["resources"])


def test_a_pod_that_no_node_takes_is_told(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier()  # a GPU by default
    player.full = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu"
    stage.fine_tune()
    told = stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Unschedulable")
    # The player's words, or those of a scheduler where there is one.
    assert "nodes are available" in told["message"]


def test_a_trainer_that_fails_for_good_ends_the_run_and_serving_goes_on(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(fineTune={"mode": "Disabled"}, trainer={"gpus": 0, "backoffLimit": 0})
    stage.wait_ready()
    stage.fine_tune()
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
    player.end_trainer("now", "", succeeded=False)
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "BackoffLimitExceeded")
    found = stage.get(FINE_TUNE, "now")
    assert condition(found, "Promoted")["status"] == "False"
    assert stage.rollout() == {"revision": 1, "stable": 1}
    assert condition(stage.get(CLASSIFIER), "Ready")["status"] == "True"


def test_a_second_pod_of_the_job_brings_one_report_and_one_version(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    """The first pod is lost (a node went); its successor ends with the report of the same uid."""
    stage.classifier(fineTune={"mode": "Disabled"}, trainer={"gpus": 0})
    uid = stage.fine_tune()
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
    (first,) = stage.cluster.list(POD, stage.namespace, "job-name=now")
    player.end_trainer("now", "", succeeded=False)
    selector = "job-name=now"

    def successor() -> str | None:
        pods = stage.cluster.list(POD, stage.namespace, selector)
        names = [one["metadata"]["name"] for one in pods if one["status"].get("phase") == "Running"]
        return next((one for one in names if one != first["metadata"]["name"]), None)

    stage.cluster.wait("a second pod", successor, seconds=120)
    player.end_trainer("now", player.report(uid).digest().decode())
    stage.wait_condition(FINE_TUNE, "now", "Promoted", "Promoted")
    assert stage.rollout() == {"revision": 2, "stable": 2}
    assert len(player.jobs_that_ran()[uid]) == 1
