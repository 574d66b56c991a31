"""What goes live, what comes back, and what is said of it."""

import time

import pytest

from hemline_operator.kube import CLASSIFIER, EVENT, FINE_TUNE, POD
from hemline_operator.testing.cluster import PlayedKubelet, RunningOperator, Stage, condition

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(600, func_only=True)]

NUDGE = "hemline.dev/rollout"
CANARY = {"mode": "Disabled", "canary": {"mode": "Enabled", "minLabelled": 100}}


def events(stage: Stage, kind: str) -> dict[str, str]:
    """Reasons and messages of the events about objects of a kind."""
    return {
        event["reason"]: event["message"]
        for event in stage.cluster.list(EVENT, stage.namespace)
        if event["involvedObject"]["kind"] == kind and event["reportingComponent"] != "kopf"
    }


def improve(stage: Stage, player: PlayedKubelet, name: str, version: int = 2) -> None:
    """A run by hand that ends with a better version."""
    uid = stage.fine_tune(name)
    stage.wait_condition(FINE_TUNE, name, "Succeeded", "Running")
    report = player.report(uid, version=version, base=version - 1)
    player.end_trainer(name, report.digest().decode())


@pytest.mark.parametrize(
    ("right", "stable", "reason"), [(95, 2, "Promoted"), (40, 1, "RolledBack")]
)
def test_a_canary_is_judged_by_the_labels_that_come(
    stage: Stage,
    player: PlayedKubelet,
    operator: RunningOperator,
    right: int,
    stable: int,
    reason: str,
) -> None:
    stage.classifier(fineTune=CANARY, trainer={"gpus": 0})
    stage.wait_ready()
    improve(stage, player, "now")
    stage.wait_condition(FINE_TUNE, "now", "Promoted", "CanaryOnTrial")
    assert stage.rollout() == {
        "revision": 2,
        "stable": 1,
        "canary": {"version": 2, "fraction": 0.1},
    }
    shown = stage.get(CLASSIFIER)
    assert shown is not None
    assert shown["status"]["canaryVersion"] == 2
    assert "CanaryStarted" in events(stage, "ImageClassifier")

    player.samples.versions = {1: (100, 80), 2: (100, right)}
    stage.cluster.wait(
        "the verdict", lambda: stage.rollout() == {"revision": 3, "stable": stable} or None
    )
    stage.wait_condition(FINE_TUNE, "now", "Promoted", reason)
    stage.wait_ready()
    assert reason in events(stage, "ImageClassifier")


def test_a_version_that_pods_refuse_is_taken_back_and_the_reason_is_told(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(fineTune={"mode": "Disabled"}, trainer={"gpus": 0})
    stage.wait_ready()
    improve(stage, player, "now")
    stage.wait_condition(FINE_TUNE, "now", "Promoted", "Promoted")
    player.refused = {"2": "checksum differs"}
    stage.cluster.wait(
        "the version before", lambda: stage.rollout() == {"revision": 3, "stable": 1} or None
    )
    assert "checksum differs" in events(stage, "ImageClassifier")["RolledBack"]


def test_a_pin_rolls_back_holds_promotions_up_and_is_told(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(fineTune={"every": 100}, trainer={"gpus": 0})
    stage.wait_ready()
    improve(stage, player, "now")
    stage.wait_condition(FINE_TUNE, "now", "Promoted", "Promoted")
    pin = {"spec": {"model": {"version": 1}}}
    stage.cluster.patch(CLASSIFIER, stage.namespace, "mnist", pin)
    stage.cluster.wait("the pin", lambda: stage.rollout() == {"revision": 3, "stable": 1} or None)
    assert "RolledBack" in events(stage, "ImageClassifier")
    player.samples.labelled = 1000
    waiting = stage.fine_tune("held", afterSamples=1)
    held = stage.wait_condition(FINE_TUNE, "held", "Succeeded", "Pinned")
    assert "version 1" in held["message"]
    stage.cluster.patch(
        CLASSIFIER, stage.namespace, "mnist", {"spec": {"model": {"version": None}}}
    )
    stage.wait_condition(FINE_TUNE, "held", "Succeeded", "Running")
    stage.cluster.wait("its pod", lambda: waiting in player.jobs_that_ran() or None)


def test_pods_are_nudged_again_until_they_have_the_document(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(inference={"replicas": 2})
    stage.wait_ready()
    player.deaf = True  # a kubelet that looked before its copy of the ConfigMap had come
    pin = {"spec": {"model": {"version": 3}}}
    stage.cluster.patch(CLASSIFIER, stage.namespace, "mnist", pin)
    behind = stage.wait_condition(CLASSIFIER, "mnist", "ModelCurrent", "Behind")
    assert behind["status"] == "False"
    selector = "hemline.dev/component=inference"

    def notes() -> set[str]:
        pods = stage.cluster.list(POD, stage.namespace, selector)
        assert len(pods) == 2
        return {pod["metadata"].get("annotations", {}).get(NUDGE, "") for pod in pods}

    first = stage.cluster.wait(
        "a note on every pod", lambda: found if all(found := notes()) else None
    )
    stage.cluster.wait("other notes", lambda: not first & notes() or None)
    player.deaf = False
    stage.wait_condition(CLASSIFIER, "mnist", "ModelCurrent", "Current")
    stage.wait_ready()


def test_pods_see_a_new_document_within_seconds(
    stage: Stage,
    player: PlayedKubelet,
    operator: RunningOperator,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The ConfigMap is written and every pod is annotated; how long that took is reported."""
    stage.classifier(inference={"replicas": 2})
    stage.wait_ready()
    before = {
        pod["metadata"]["uid"]
        for pod in stage.cluster.list(POD, stage.namespace, "hemline.dev/component=inference")
    }
    started = time.monotonic()
    pin = {"spec": {"model": {"version": 3}}}
    stage.cluster.patch(CLASSIFIER, stage.namespace, "mnist", pin)
    stage.cluster.wait("the document", lambda: stage.rollout().get("stable") == 3 or None)
    written = time.monotonic() - started
    stage.wait_condition(CLASSIFIER, "mnist", "ModelCurrent", "Current")
    stage.wait_ready()
    current = time.monotonic() - started
    after = stage.cluster.list(POD, stage.namespace, "hemline.dev/component=inference")
    assert {pod["metadata"]["uid"] for pod in after} == before
    made = stage.get(CLASSIFIER)
    assert condition(made, "ModelCurrent")["message"] == "2 pods serve revision 2"
    with capsys.disabled():
        print(f"\npin to document {written:.2f} s, to every pod's answer {current:.2f} s")
