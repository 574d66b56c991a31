"""The plan for a classifier, in a world without a cluster."""

import json
from dataclasses import replace
from typing import Any

import pytest

from hemline_operator.plan import Capabilities
from hemline_operator.testing import Killed, World


@pytest.fixture
def world() -> World:
    return World()


def rollout(world: World) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        world.get("ConfigMap", "mnist-rollout")["data"]["rollout.json"]
    )
    return document


def run_to_the_end(world: World, name: str = "now", **outcome: Any) -> None:
    world.rest()
    world.finish_job(name, **outcome)
    world.rest()
    world.mount()
    world.rest()


def test_a_classifier_comes_up(world: World) -> None:
    world.put_classifier()
    world.rest()
    kinds = sorted(kind for kind, _ in world.objects if kind not in ("Pod", "ImageClassifier"))
    assert kinds == [
        "ConfigMap", "CronJob", "Deployment", "Deployment", "Deployment", "PersistentVolumeClaim",
        "Service", "ServiceAccount",
    ]  # fmt: skip
    assert world.condition("ImageClassifier", "mnist", "Ready") == (
        "True", "Serving", "version 1 answers",
    )  # fmt: skip
    assert rollout(world) == {"revision": 1, "stable": 1}


def test_when_nothing_changes_nothing_is_written(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune(afterSamples=10)
    world.rest()
    before = world.writes
    for _ in range(3):
        world.look()
    assert world.writes == before


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", "mnist-inference"),
        ("Deployment", "mnist-collect"),
        ("Deployment", "mnist-serve"),
        ("Service", "mnist-serve"),
        ("ConfigMap", "mnist-rollout"),
        ("ServiceAccount", "mnist-hemline"),
        ("CronJob", "mnist-upkeep"),
        ("PersistentVolumeClaim", "mnist-lake"),
    ],
)
def test_a_child_that_was_deleted_comes_back(world: World, kind: str, name: str) -> None:
    world.put_classifier()
    world.rest()
    before = world.get(kind, name)["metadata"]["uid"]
    world.delete(kind, name)
    world.rest()
    assert world.get(kind, name)["metadata"]["uid"] != before


def test_a_child_that_was_edited_is_repaired_and_what_others_add_stays(world: World) -> None:
    world.put_classifier()
    world.rest()
    pod = world.get("Deployment", "mnist-inference")["spec"]["template"]["spec"]
    sound = pod["containers"][0]["image"]
    sidecar = {"name": "mesh", "image": "mesh:1"}
    edited = [{**pod["containers"][0], "image": "other:1"}]
    world.edit(
        "Deployment", "mnist-inference", {"spec": {"template": {"spec": {"containers": edited}}}}
    )
    world.rest()
    containers = world.get("Deployment", "mnist-inference")["spec"]["template"]["spec"][
        "containers"
    ]
    assert containers[0]["image"] == sound
    with_sidecar = {"spec": {"template": {"spec": {"containers": [*containers, sidecar]}}}}
    world.edit("Deployment", "mnist-inference", with_sidecar)
    world.rest()
    containers = world.get("Deployment", "mnist-inference")["spec"]["template"]["spec"][
        "containers"
    ]
    assert sidecar in containers


def test_a_document_that_somebody_edited_is_written_again(world: World) -> None:
    world.put_classifier()
    world.rest()
    forged = json.dumps({"revision": 9, "stable": 4})
    world.edit("ConfigMap", "mnist-rollout", {"data": {"rollout.json": forged}})
    world.rest()
    assert rollout(world) == {"revision": 1, "stable": 1}


def test_data_has_no_owner_and_outlives_the_classifier(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune()
    run_to_the_end(world)
    assert rollout(world)["stable"] == 2
    world.delete("ImageClassifier", "mnist")
    assert {kind for kind, _ in world.objects if kind != "Pod"} == {
        "ConfigMap", "FineTune", "Job", "PersistentVolumeClaim",
    }  # fmt: skip
    world.put_classifier()
    world.rest()
    assert world.get("ImageClassifier")["status"]["liveVersion"] == 2
    assert rollout(world)["stable"] == 2


def test_replicas_are_left_out_for_an_autoscaler(world: World) -> None:
    world.put_classifier(inference={"replicas": 4})
    world.rest()
    assert world.get("Deployment", "mnist-inference")["spec"]["replicas"] == 4
    assert world.get("ImageClassifier")["status"]["readyReplicas"] == 4
    scaled = {"autoscaling": {"mode": "Enabled"}, "replicas": 4}
    world.edit("ImageClassifier", "mnist", {"spec": {"inference": scaled}})
    world.delete("Deployment", "mnist-inference")
    world.look()
    assert "replicas" not in world.get("Deployment", "mnist-inference")["spec"]
    assert world.condition("ImageClassifier", "mnist", "Autoscaled")[1] == "KedaMissing"


def test_scaling_that_is_switched_off_takes_its_objects_along(world: World) -> None:
    world.platform = replace(world.platform, capabilities=Capabilities(scaled_object="v1alpha1"))
    broker = {"type": "PubSub", "address": "my-project"}
    world.put_classifier(broker=broker, inference={"autoscaling": {"mode": "Enabled"}})
    world.rest()
    scaling = {("ScaledObject", "mnist-inference"), ("TriggerAuthentication", "mnist-inference")}
    assert scaling <= world.objects.keys()
    off = {"autoscaling": {"mode": "Disabled"}}
    world.edit("ImageClassifier", "mnist", {"spec": {"inference": off}})
    world.kill_after = world.writes + 2  # the objects are gone, and nothing of it is on record
    with pytest.raises(Killed):
        world.look()
    world.rest()
    assert not scaling & world.objects.keys()
    conditions = world.get("ImageClassifier")["status"]["conditions"]
    assert "Autoscaled" not in {one["type"] for one in conditions}
    before = world.writes
    world.look()
    assert world.writes == before


def test_a_fine_tune_waits_with_its_progress(world: World) -> None:
    world.put_classifier(fineTune={"mode": "Disabled"})
    world.put_fine_tune(afterSamples=1000)
    world.labelled = 420
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded") == (
        "Unknown", "WaitingForSamples", "420 of 1,000 new labelled samples",
    )  # fmt: skip
    assert world.get("FineTune", "now")["status"]["samples"] == 420
    assert ("Job", "now") not in world.objects
    world.labelled = 1000
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[1] == "Running"
    status = world.get("FineTune", "now")["status"]
    assert status["job"] == {"name": "now", "uid": world.get("Job", "now")["metadata"]["uid"]}
    assert status["snapshot"]["labels"] == 1000
    assert status["baseVersion"] == 1


def test_a_fine_tune_that_the_policy_overtakes_says_so(world: World) -> None:
    world.put_classifier(fineTune={"every": 500})
    world.put_fine_tune(afterSamples=1000)
    world.labelled = 420
    world.rest()
    status, reason, message = world.condition("FineTune", "now", "Succeeded")
    assert (status, reason) == ("Unknown", "WaitingForSamples")
    assert message.startswith(
        "420 of 1,000 new labelled samples; the standing policy takes every 500"
    )
    assert "afterSamples up to 500" in message


def test_a_run_that_improves_goes_live(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune()
    run_to_the_end(world)
    status = world.get("FineTune", "now")["status"]
    assert world.condition("FineTune", "now", "Succeeded")[:2] == ("True", "Improved")
    assert world.condition("FineTune", "now", "Promoted")[:2] == ("True", "Promoted")
    assert (status["modelVersion"], status["verdict"]) == (2, "Improved")
    metrics = {one["name"]: one["value"] for one in status["metrics"]}
    assert len(metrics) == len(status["metrics"])
    assert (metrics["freshSamples"], metrics["freshHeldOut"]) == ("500", "100")
    assert metrics["freshCandidateAccuracy"] == "0.9000"
    assert rollout(world) == {"revision": 2, "stable": 2}
    assert world.get("ImageClassifier")["status"]["lastFineTune"]["name"] == "now"
    told = {reason for _, reason, _ in world.events}
    assert {"FineTuneStarted", "FineTuneEnded", "Promoted"} <= told


def test_a_run_that_regresses_does_not(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune()
    run_to_the_end(world, verdict="RegressedMetric", reasons=("frozen set: 0.90 to 0.80",))
    assert world.condition("FineTune", "now", "Succeeded") == (
        "False", "RegressedMetric", "frozen set: 0.90 to 0.80",
    )  # fmt: skip
    assert world.condition("FineTune", "now", "Promoted")[0] == "False"
    assert rollout(world) == {"revision": 1, "stable": 1}


def test_a_report_is_read_from_samples_serve_when_the_pod_is_gone(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune()
    world.rest()
    world.finish_job("now", in_pod=False)
    world.samples_answer = False
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[1] == "Ending"
    world.samples_answer = True
    world.delete("Pod", "now-abcde")
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[1] == "Improved"


def test_a_forged_termination_message_is_no_report(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune()
    world.rest()
    world.finish_job("now", in_pod=False)
    states = world.get("Pod", "now-abcde")["status"]["containerStatuses"]
    states[0]["state"]["terminated"]["message"] = world.report("other").digest().decode()
    world.reports.clear()
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[:2] == ("False", "ReportMissing")


@pytest.mark.parametrize("reason", ["DeadlineExceeded", "BackoffLimitExceeded"])
def test_a_job_that_failed_ends_the_run(world: World, reason: str) -> None:
    world.put_classifier()
    world.put_fine_tune()
    world.rest()
    world.finish_job("now", kind="Failed", reason=reason)
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[:2] == ("False", reason)


def test_a_job_that_was_deleted_is_not_made_again(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune()
    world.rest()
    world.delete("Job", "now")
    world.rest()
    assert ("Job", "now") not in world.objects
    assert world.condition("FineTune", "now", "Succeeded")[:2] == ("False", "JobGone")


def test_a_job_of_somebody_else_is_left_alone(world: World) -> None:
    world.put_classifier()
    world._put("batch/v1", "Job", "now", {"suspend": False})
    world.put_fine_tune()
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[1] == "JobNameTaken"
    assert "ownerReferences" not in world.get("Job", "now")["metadata"]


def test_one_run_at_a_time_and_a_persons_before_the_policys(world: World) -> None:
    world.put_classifier(fineTune={"every": 100})
    world.labelled = 100
    world.put_fine_tune("first")
    world.put_fine_tune("second")
    world.rest()
    assert world.let_loose == [world.get("Job", "first")["metadata"]["uid"]]
    assert world.condition("FineTune", "second", "Succeeded") == (
        "Unknown", "WaitingForTurn", "first is under way",
    )  # fmt: skip
    run_to_the_end(world, "first")
    world.rest()
    assert len(world.let_loose) == 2
    assert world.get("FineTune", "second")["status"]["baseVersion"] == 2


def test_the_standing_policy_makes_runs_by_the_same_rules(world: World) -> None:
    world.put_classifier(fineTune={"every": 100, "keep": 1})
    for number in (1, 2, 3):
        world.labelled = 100 * number
        run_to_the_end(world, f"mnist-{number}", base_version=number, version=number + 1)
        assert rollout(world)["stable"] == number + 1
    assert world.get("ImageClassifier")["status"]["fineTunes"] == 3
    assert [name for kind, name in world.objects if kind == "FineTune"] == ["mnist-3"]
    assert world.get("ImageClassifier")["status"]["freshSamples"] == 0


def test_samples_are_counted_from_the_last_attempt_though_its_resource_is_gone(
    world: World,
) -> None:
    world.put_classifier(fineTune={"every": 100})
    world.labelled = 100
    run_to_the_end(world, "mnist-1")
    world.delete("FineTune", "mnist-1")
    world.labelled = 150
    world.rest()
    assert world.get("ImageClassifier")["status"]["freshSamples"] == 50
    assert ("FineTune", "mnist-2") not in world.objects


def test_suspend_holds_a_run_and_its_job(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune(suspend="Enabled")
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[1] == "Suspended"
    assert ("Job", "now") not in world.objects
    world.edit("FineTune", "now", {"spec": {"suspend": "Disabled"}})
    world.rest()
    assert world.get("Job", "now")["spec"]["suspend"] is False
    world.edit("FineTune", "now", {"spec": {"suspend": "Enabled"}})
    world.rest()
    assert world.get("Job", "now")["spec"]["suspend"] is True


def test_kueue_lets_the_job_loose_not_the_operator(world: World) -> None:
    world.put_classifier(trainer={"queueName": "gpus"})
    world.put_fine_tune()
    world.rest()
    assert world.get("Job", "now")["spec"]["suspend"] is True
    assert world.condition("FineTune", "now", "Succeeded")[1] == "Queued"


def test_a_pin_rolls_back_and_holds_until_it_is_taken_away(world: World) -> None:
    world.put_classifier(fineTune={"every": 100})
    world.labelled = 100
    run_to_the_end(world, "mnist-1")
    world.edit("ImageClassifier", "mnist", {"spec": {"model": {"version": 1}}})
    world.rest()
    assert rollout(world) == {"revision": 3, "stable": 1}
    assert ("mnist", "RolledBack") in {(name, reason) for name, reason, _ in world.events}
    world.labelled = 500
    world.rest()
    assert ("FineTune", "mnist-2") not in world.objects
    world.edit("ImageClassifier", "mnist", {"spec": {"model": {"version": None}}})
    world.rest()
    assert ("FineTune", "mnist-2") in world.objects
    assert rollout(world)["stable"] == 1


@pytest.mark.parametrize(("right", "stable"), [(95, 2), (40, 1)])
def test_a_canary_is_judged_by_late_labels(world: World, right: int, stable: int) -> None:
    world.put_classifier(fineTune={"canary": {"mode": "Enabled", "minLabelled": 100}})
    world.put_fine_tune()
    run_to_the_end(world)
    assert rollout(world)["canary"] == {"version": 2, "fraction": 0.1}
    assert world.condition("FineTune", "now", "Promoted")[:2] == ("Unknown", "CanaryOnTrial")
    assert world.get("ImageClassifier")["status"]["canaryVersion"] == 2
    world.versions = {1: (100, 80), 2: (100, right)}
    world.rest()
    assert rollout(world) == {"revision": 3, "stable": stable}
    assert world.condition("FineTune", "now", "Promoted")[0] == ("True" if stable == 2 else "False")


def test_a_version_that_every_pod_refuses_is_taken_back(world: World) -> None:
    world.put_classifier()
    world.put_fine_tune()
    world.rest()
    world.finish_job("now")
    world.rest()
    assert rollout(world)["stable"] == 2
    for pod, answer in world.serving.items():
        world.serving[pod] = type(answer)(revision=1, refused={2: "checksum differs"})
    world.rest()
    assert rollout(world) == {"revision": 3, "stable": 1}
    assert "checksum differs" in str(world.events)


def test_pods_are_nudged_until_they_have_the_document(world: World) -> None:
    world.put_classifier(inference={"replicas": 2})
    world.put_fine_tune()
    world.rest()
    world.finish_job("now")
    world.rest()
    pods = [f"mnist-inference-{number}" for number in (0, 1)]
    notes = [
        world.get("Pod", pod)["metadata"]["annotations"]["hemline.dev/rollout"] for pod in pods
    ]
    assert all(note.startswith("2@") for note in notes)
    assert world.condition("ImageClassifier", "mnist", "ModelCurrent")[:2] == ("False", "Behind")
    assert world.look().again_seconds == 1.0
    world.mount()
    assert world.rest().again_seconds == world.platform.poll_seconds
    assert world.condition("ImageClassifier", "mnist", "ModelCurrent")[0] == "True"


def test_a_fine_tune_without_a_classifier_says_so(world: World) -> None:
    world.put_fine_tune()
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[1] == "ClassifierNotFound"
    world.put_classifier()
    world.rest()
    assert world.condition("FineTune", "now", "Succeeded")[1] == "Running"


def test_a_spec_that_this_operator_cannot_read_says_so(world: World) -> None:
    world.put_classifier(future={"a": 1})
    world.put_fine_tune()
    world.rest()
    status, reason, message = world.condition("ImageClassifier", "mnist", "Ready")
    assert (status, reason) == ("False", "InvalidSpec")
    assert message.startswith("spec.future")


def test_a_refused_child_is_a_condition(world: World) -> None:
    world.put_classifier()
    world.failures["PersistentVolumeClaim mnist-lake"] = (
        "field can not be less than status.capacity"
    )
    world.rest()
    assert world.condition("ImageClassifier", "mnist", "Applied")[:2] == ("False", "ApplyFailed")


def test_killed_after_any_write_of_a_life_one_job_runs_and_one_version_goes_live() -> None:
    def life(world: World) -> None:
        steps = [
            lambda: (world.put_classifier(), world.put_fine_tune(afterSamples=10)),
            lambda: setattr(world, "labelled", 10),
            lambda: world.finish_job("now"),
            world.mount,
        ]
        for step in steps:
            step()
            while True:
                try:
                    world.rest()
                    break
                except Killed:
                    continue

    whole = World()
    life(whole)
    assert whole.writes > 15
    for number in range(whole.writes):
        world = World()
        world.kill_after = number
        life(world)
        assert world.kill_after is None, "it was not killed"
        assert len(world.let_loose) == 1, number
        assert rollout(world) == {"revision": 2, "stable": 2}, number
        assert world.condition("FineTune", "now", "Promoted")[0] == "True", number
        assert world.condition("ImageClassifier", "mnist", "Ready")[0] == "True", number
