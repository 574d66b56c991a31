"""The operator's process against a real API server and the real controllers; a player stands in for nodes."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from hemline_operator.kube import (
    CLASSIFIER,
    CONFIG_MAP,
    CRON_JOB,
    DEPLOYMENT,
    EVENT,
    FINE_TUNE,
    JOB,
    POD,
    SERVICE,
    SERVICE_ACCOUNT,
    VOLUME_CLAIM,
    Kind,
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


def test_a_classifier_comes_up_is_scaled_and_pinned_and_goes(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier()
    stage.wait_ready()
    assert stage.rollout() == {"revision": 1, "stable": 1}
    made = stage.get(CLASSIFIER)
    assert made is not None
    assert "finalizers" not in made["metadata"]
    assert "annotations" not in made["metadata"]
    assert made["status"]["observedGeneration"] == made["metadata"]["generation"]

    stage.cluster.patch(CLASSIFIER, stage.namespace, "mnist", {"spec": {"replicas": 3}}, "/scale")
    stage.cluster.wait(
        "three ready pods",
        lambda: ((stage.get(CLASSIFIER) or {})["status"].get("readyReplicas") == 3) or None,
    )

    pin = {"spec": {"model": {"version": 3}}}
    stage.cluster.patch(CLASSIFIER, stage.namespace, "mnist", pin)
    stage.cluster.wait(
        "the pin in the document", lambda: stage.rollout().get("stable") == 3 or None
    )
    stage.wait_ready()
    nudged = [
        pod["metadata"]["annotations"]["hemline.dev/rollout"]
        for pod in stage.cluster.list(POD, stage.namespace, "hemline.dev/component=inference")
    ]
    assert len(nudged) == 3
    assert all(note.startswith("2@") for note in nudged)

    stage.cluster.delete(CLASSIFIER, stage.namespace, "mnist")
    stage.cluster.wait(
        "the stateless children to go",
        lambda: not stage.cluster.list(DEPLOYMENT, stage.namespace) or None,
    )
    assert stage.get(VOLUME_CLAIM, "mnist-lake") is not None
    assert stage.rollout()["stable"] == 3

    stage.classifier()
    stage.wait_ready()
    assert stage.rollout() == {"revision": 2, "stable": 3}


def test_children_that_were_deleted_or_edited_are_repaired(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier()
    stage.wait_ready()
    children = [
        (DEPLOYMENT, "mnist-inference"),
        (DEPLOYMENT, "mnist-collect"),
        (DEPLOYMENT, "mnist-serve"),
        (SERVICE, "mnist-serve"),
        (CONFIG_MAP, "mnist-rollout"),
        (SERVICE_ACCOUNT, "mnist-hemline"),
        (CRON_JOB, "mnist-upkeep"),
    ]
    for kind, name in children:
        before = stage.get(kind, name)
        assert before is not None
        uid = before["metadata"]["uid"]
        stage.cluster.delete(kind, stage.namespace, name)
        stage.cluster.wait(
            f"{kind.name} {name} to come back",
            lambda kind=kind, name=name, uid=uid: (
                ((found := stage.get(kind, name)) and found["metadata"]["uid"] != uid) or None
            ),
        )
    edits: list[tuple[Kind, str, dict[str, Any]]] = [
        (
            DEPLOYMENT,
            "mnist-inference",
            {"spec": {"template": {"spec": {"enableServiceLinks": True}}}},
        ),
        (CONFIG_MAP, "mnist-rollout", {"data": {"rollout.json": '{"revision":9,"stable":9}'}}),
        (SERVICE, "mnist-serve", {"spec": {"selector": {"app.kubernetes.io/name": "other"}}}),
        (DEPLOYMENT, "mnist-collect", {"metadata": {"labels": {"hemline.dev/classifier": None}}}),
    ]
    for kind, name, edit in edits:
        sound = stage.get(kind, name)
        assert sound is not None
        stage.cluster.patch(kind, stage.namespace, name, edit)
        stage.cluster.wait(
            f"{kind.name} {name} to be repaired",
            lambda kind=kind, name=name, sound=sound: (
                (
                    (found := stage.get(kind, name))
                    and found.get("spec") == sound.get("spec")
                    and found.get("data") == sound.get("data")
                    and found["metadata"]["labels"] == sound["metadata"]["labels"]
                )
                or None
            ),
        )


def test_a_fine_tune_waits_runs_once_and_goes_live(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(fineTune={"mode": "Disabled"}, trainer={"gpus": 0})
    player.samples.labelled = 420
    uid = stage.fine_tune(afterSamples=1000)
    waiting = stage.wait_condition(FINE_TUNE, "now", "Succeeded", "WaitingForSamples")
    assert waiting["message"] == "420 of 1,000 new labelled samples"
    player.samples.labelled = 1000
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
    player.end_trainer("now", player.report(uid).digest().decode())
    stage.wait_condition(FINE_TUNE, "now", "Promoted", "Promoted")
    found = stage.get(FINE_TUNE, "now")
    assert found is not None
    assert condition(found, "Succeeded")["status"] == "True"
    assert found["status"]["modelVersion"] == 2
    assert stage.rollout() == {"revision": 2, "stable": 2}
    stage.wait_ready()
    events = {
        event["reason"]
        for event in stage.cluster.list(EVENT, stage.namespace)
        if event["involvedObject"]["kind"] in ("FineTune", "ImageClassifier")
    }
    assert {"FineTuneStarted", "FineTuneEnded", "Promoted"} <= events


def test_a_report_comes_from_samples_serve_when_the_pod_is_gone(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(trainer={"gpus": 0})
    uid = stage.fine_tune()
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
    player.samples.reports[uid] = player.report(uid).to_json()
    player.end_trainer("now", "")
    stage.wait_condition(FINE_TUNE, "now", "Promoted", "Promoted")


def test_suspend_resume_and_cancel(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(trainer={"gpus": 0})
    stage.fine_tune()
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
    for mode, reason in (("Enabled", "Suspended"), ("Disabled", "Running")):
        stage.cluster.patch(FINE_TUNE, stage.namespace, "now", {"spec": {"suspend": mode}})
        stage.wait_condition(FINE_TUNE, "now", "Succeeded", reason)
    stage.cluster.delete(FINE_TUNE, stage.namespace, "now")
    stage.cluster.wait(
        "the Job to go", lambda: not stage.cluster.list(JOB, stage.namespace) or None
    )


def test_the_standing_policy_goes_on_and_on(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier(fineTune={"every": 100, "keep": 1}, trainer={"gpus": 0})
    for number in (1, 2):
        player.samples.labelled = 100 * number
        name = f"mnist-{number}"
        stage.wait_condition(FINE_TUNE, name, "Succeeded", "Running")
        found = stage.get(FINE_TUNE, name)
        assert found is not None
        report = player.report(found["metadata"]["uid"], version=number + 1, base=number)
        player.end_trainer(name, report.digest().decode())
        stage.wait_condition(FINE_TUNE, name, "Promoted", "Promoted")
    stage.cluster.wait(
        "the older run to be cleaned up", lambda: stage.get(FINE_TUNE, "mnist-1") is None or None
    )
    assert stage.rollout() == {"revision": 3, "stable": 3}


def test_the_operator_says_how_it_is_and_ends_when_told(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.classifier()
    stage.wait_ready()
    assert operator.ask("/healthz").status_code == 200
    metrics = operator.ask("/metrics").text
    assert (
        f'hemline_operator_last_success_seconds{{classifier="mnist",namespace="{stage.namespace}"}}'
        in metrics
    )
    assert 'hemline_operator_writes_total{kind="Deployment",outcome="ok"}' in metrics
    assert operator.ask("/status").json()["classifiers"] == 1
    assert operator.terminate() == 0


@pytest.mark.timeout(2400, func_only=True)
def test_killed_after_any_write_of_a_life_one_job_runs(
    cluster: Cluster, stage: Stage, tmp_path: Path
) -> None:
    """The operator dies by SIGKILL after its n-th write, for every n; it is started again and goes on."""
    with PlayedKubelet(cluster, stage.namespace, trainers=True) as player:
        player.samples.labelled = 10
        stage.classifier(fineTune={"mode": "Disabled"}, trainer={"gpus": 0})
        assert not life(cluster, stage, player, tmp_path, kill_after=0)  # brings the classifier up
        number = unharmed = 0
        while unharmed < 2:  # beyond the last write of a life there is nothing to be killed after
            number += 1
            killed = life(cluster, stage, player, tmp_path, kill_after=number)
            unharmed = 0 if killed else unharmed + 1
        assert number > 12
        print(f"killed after each of {number - unharmed} writes")


def life(
    cluster: Cluster, stage: Stage, player: PlayedKubelet, folder: Path, *, kill_after: int
) -> bool:
    """One FineTune from beginning to end; whether the operator was killed on the way."""
    name = f"run-{kill_after}"
    current = (stage.get(CLASSIFIER) or {}).get("status", {}).get("liveVersion", 1)
    player_report = player.report
    player.report = lambda uid, **_: player_report(uid, version=current + 1, base=current)  # type: ignore[method-assign]
    killed = []

    def after_write(number: int) -> None:
        if number == kill_after and not killed:
            killed.append(number)
            os.kill(operator.pid, signal.SIGKILL)

    with WriteProxy(cluster.server, cluster.context, after_write) as proxy:
        operator = RunningOperator(cluster, stage.namespace, folder, server=proxy.address)
        uid = stage.fine_tune(name, afterSamples=0)
        operator.start()
        try:
            deadline = time.monotonic() + 180
            while not settled(stage, name, current + 1):
                assert time.monotonic() < deadline, (kill_after, operator.log.read_text()[-3000:])
                if not operator.running:
                    operator.start()
                time.sleep(0.1)
        finally:
            operator.kill()
            player.report = player_report  # type: ignore[method-assign]
    jobs = [
        job
        for job in cluster.list(JOB, stage.namespace)
        if job["metadata"]["ownerReferences"][0]["uid"] == uid
    ]
    assert len(jobs) == 1, kill_after
    assert len(player.jobs_that_ran()[uid]) == 1, kill_after
    return bool(killed)


def settled(stage: Stage, name: str, version: int) -> bool:
    """The run's version is live, everywhere, and everything says so."""
    return (
        condition(stage.get(FINE_TUNE, name), "Promoted").get("reason") == "Promoted"
        and stage.rollout().get("stable") == version
        and condition(stage.get(CLASSIFIER), "Ready").get("reason") == "Serving"
        and (stage.get(CLASSIFIER) or {})["status"]["liveVersion"] == version
    )


def test_the_api_server_is_restarted_underneath(
    cluster: Cluster, stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    if cluster.folder is None:
        pytest.skip("the API server is not the tests' own: it cannot be restarted")
    stage.classifier(trainer={"gpus": 0})
    stage.wait_ready()
    uid = stage.fine_tune()
    stage.wait_condition(FINE_TUNE, "now", "Succeeded", "Running")
    os.kill(int((cluster.folder / "kube-apiserver.pid").read_text()), signal.SIGKILL)
    stage.cluster.wait(
        "the API server to be back",
        lambda: cluster.http.get("/readyz").status_code == 200 or None,
        seconds=180,
    )
    player.end_trainer("now", player.report(uid).digest().decode())
    stage.wait_condition(FINE_TUNE, "now", "Promoted", "Promoted", seconds=180)
    stage.cluster.delete(DEPLOYMENT, stage.namespace, "mnist-inference")
    stage.cluster.wait(
        "the deployment to come back", lambda: stage.get(DEPLOYMENT, "mnist-inference"), seconds=180
    )
    assert operator.running
