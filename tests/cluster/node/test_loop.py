"""The loop on a real node: the project's own images as pods, a real Kafka beside them, one classifier through its life.

The steps share one classifier and run in this order; one that fails fails those after it. What is printed of the two
resources in the end is what docs/operator.md shows.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_kit import Images, Node, NodeKafka

from hemline_operator.kube import CLASSIFIER, EVENT, FINE_TUNE, JOB, POD
from hemline_operator.testing.cluster import Cluster, Stage, audited, denied, granted, uses

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]

ROOT = Path(__file__).parents[3]
K8S = ROOT / "k8s"
OPERATOR = "hemline"

EVERY = 500
# What a machine with two cores does within a minute. The gate is tested elsewhere: here what is learned must go live.
TRAINER = {
    "steps": 60,
    "batchSize": 64,
    "gpus": 0,
    "resources": {"requests": {"cpu": "200m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}},
}
GATE = {"maxFrozenDrop": "1", "maxClassDrop": "1", "significance": "0.5"}


class Loop:
    """One namespace of the node, and what is looked at in it."""

    def __init__(self, node: Node, namespace: str, broker: str) -> None:
        self.node = node
        self.cluster = Cluster(node.kubeconfig)
        self.namespace = namespace
        self.broker = broker
        self.stage = Stage(self.cluster, namespace)
        self.began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        self.failed = ""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """What comes after a step that failed would only say so in other words."""
        if self.failed:
            pytest.fail(f"an earlier step failed: {self.failed}", pytrace=False)
        try:
            yield
        except BaseException:
            self.failed = name
            raise

    def kubectl(self, *arguments: str) -> str:
        """kubectl as a person would use it, in the namespace."""
        return self.node.kubectl("--namespace", self.namespace, *arguments)

    def apply(self, file: Path, patch: Mapping[str, Any], folder: Path) -> None:
        """A file of k8s/ as it is, with a patch over it, as kustomize does it."""
        folder.mkdir()
        (folder / file.name).write_text(file.read_text())
        (original,) = [one for one in yaml.safe_load_all(file.read_text()) if one]
        target = {
            "apiVersion": original["apiVersion"],
            "kind": original["kind"],
            "metadata": {"name": original["metadata"]["name"]},
        }
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.namespace,
            "resources": [file.name],
            "patches": [{"patch": yaml.safe_dump({**target, **patch})}],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        self.kubectl("apply", "-k", str(folder))

    def ask(self, pod: str, path: str = "status") -> dict[str, Any] | None:
        """What a pod says of itself, through the API server: that way there is on every cluster."""
        answer = self.cluster.http.get(
            f"/api/v1/namespaces/{self.namespace}/pods/{pod}:9090/proxy/{path}"
        )
        return dict(answer.json()) if answer.status_code == 200 else None

    def pods(self, component: str) -> list[dict[str, Any]]:
        """Pods of a component that are not on their way out."""
        found = self.cluster.list(POD, self.namespace, f"hemline.dev/component={component}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def revisions(self) -> dict[str, int | None]:
        """The rollout document that every inference pod says it has."""
        names = [pod["metadata"]["name"] for pod in self.pods("inference")]
        return {name: (self.ask(name) or {}).get("revision") for name in names}

    def lives(self) -> dict[str, int]:
        """How often the containers of each inference pod were started again, by the pod's uid."""
        return {
            pod["metadata"]["uid"]: sum(
                one["restartCount"] for one in pod["status"]["containerStatuses"]
            )
            for pod in self.pods("inference")
        }

    def wait_for_revision(self, revision: int) -> float:
        """Wait for a document, then for every pod to have it; the seconds from the one to the other."""
        self.cluster.wait(
            f"revision {revision} in the ConfigMap",
            lambda: self.stage.rollout().get("revision") == revision or None,
            seconds=300,
        )
        written = time.monotonic()
        self.cluster.wait(
            f"revision {revision} in every pod",
            lambda: set(self.revisions().values()) == {revision} or None,
            seconds=120,
        )
        return time.monotonic() - written

    def simulator(self) -> dict[str, Any]:
        """The simulator's books as they stand."""
        return self.cluster.wait("the simulator's status", lambda: self.ask("simulator"))

    def answered(self) -> int:
        """Images answered so far."""
        return int(self.simulator()["answered"])


@pytest.fixture(scope="module")
def loop(node: Node, node_kafka: NodeKafka, images: Images) -> Iterator[Loop]:
    """A namespace under the restricted standard, and the operator of k8s/operator.yaml looking after the cluster."""
    node.kubectl("apply", "--server-side", "--force-conflicts", "-f", K8S / "crds")
    node.kubectl("apply", "-f", K8S / "operator.yaml")
    settings = {
        "INFERENCE_IMAGE": images["inference"],
        "SAMPLES_IMAGE": images["samples"],
        "TRAINER_IMAGE": images["trainer"],
        "POLL": "2",
    }
    operator = ("--namespace", OPERATOR, "deployment/hemline-operator")
    try:
        node.kubectl("set", "image", *operator, f"operator={images['operator']}")
        variables = [f"HEMLINE_OPERATOR_{name}={value}" for name, value in settings.items()]
        node.kubectl("set", "env", *operator, *variables)
        label = "pod-security.kubernetes.io/enforce=restricted"
        node.kubectl("label", "namespace", OPERATOR, label)
        node.kubectl("rollout", "status", *operator, "--timeout=180s")
        with node.namespace("loop") as namespace:
            loop = Loop(node, namespace, node_kafka.pods)
            yield loop
            if loop.failed:
                print(
                    node.kubectl("--namespace", namespace, "get", "icl,ft,pods,jobs", "-o", "wide")
                )
                print(node.kubectl("--namespace", namespace, "describe", "icl,ft"))
                print(
                    node.kubectl(
                        "--namespace", OPERATOR, "logs", "deployment/hemline-operator", "--tail=100"
                    )
                )
            loop.cluster.close()
    finally:
        node.kubectl("delete", "-f", K8S / "operator.yaml", "--timeout=120s")


def simulator(loop: Loop, image: str) -> dict[str, Any]:
    """Test images with their brightness inverted: version 1 knows nothing of them, so there is much to learn."""
    command = [
        "hemline-client-sim",
        *("--broker", f"kafka://{loop.broker}", "--namespace", loop.namespace),
        *("--run", "loop", "--rate", "25", "--label-delay", "4"),
        *("--drift", "inversion", "--drain", "120"),
        *("--books", "/tmp/books.json", "--http", "0.0.0.0:9090"),
    ]
    container = {
        "name": "simulator",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": "HOME", "value": "/tmp"}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 180,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "simulator"}, "spec": spec}


def test_the_operator_and_a_classifier_come_up(loop: Loop, tmp_path: Path) -> None:
    with loop.step("coming up"):
        patch = {
            "spec": {
                "broker": {"address": loop.broker},
                "fineTune": {"every": EVERY, "gate": GATE},
                "trainer": TRAINER,
            }
        }
        loop.apply(K8S / "classifier.yaml", patch, tmp_path / "classifier")
        loop.stage.wait_condition(CLASSIFIER, "mnist", "Ready", "Serving", seconds=300)
        assert loop.stage.rollout() == {"revision": 1, "stable": 1}
        assert set(loop.revisions().values()) == {1}


def test_the_simulator_is_answered_and_labels_are_counted(loop: Loop, images: Images) -> None:
    with loop.step("streaming"):
        loop.node.apply(simulator(loop, images["client-sim"]), namespace=loop.namespace)
        loop.cluster.wait("answers", lambda: loop.answered() > 50 or None, seconds=120)
        loop.cluster.wait(
            "labels in the lake",
            lambda: (loop.stage.get(CLASSIFIER) or {})["status"].get("labelledSamples") or None,
            seconds=120,
        )


def test_the_standing_policy_runs_a_job_and_pods_swap_without_a_restart(
    loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    with loop.step("the standing policy"):
        loop.cluster.wait(
            "a FineTune of the policy", lambda: loop.stage.get(FINE_TUNE, "mnist-1"), seconds=180
        )
        # From here on it stands back, so that the run by hand is the next one.
        off = {"spec": {"fineTune": {"mode": "Disabled"}}}
        loop.cluster.patch(CLASSIFIER, loop.namespace, "mnist", off)
        before = loop.lives()
        seconds = loop.wait_for_revision(2)
        loop.stage.wait_condition(FINE_TUNE, "mnist-1", "Promoted", "Promoted")
        assert loop.stage.rollout() == {"revision": 2, "stable": 2}
        assert loop.lives() == before
        assert set(before.values()) == {0}
        # What is sent now is answered by the new version.
        loop.cluster.wait(
            "answers of version 2",
            lambda: any(one["version"] == 2 for one in loop.simulator()["tallies"]) or None,
        )
        with capsys.disabled():
            print(f"\n{seconds:.1f} s after the document every pod served version 2")


def test_an_applied_fine_tune_ends_though_everything_around_it_is_killed(
    loop: Loop, tmp_path: Path
) -> None:
    with loop.step("the applied FineTune"):
        loop.apply(K8S / "finetune.yaml", {"spec": {"afterSamples": EVERY}}, tmp_path / "finetune")
        loop.stage.wait_condition(FINE_TUNE, "mnist-now", "Succeeded", "Running", seconds=300)
        at_once = ("--wait=false", "--grace-period=0", "--force")
        which = ("-l", "app.kubernetes.io/name=hemline-operator", *at_once)
        loop.node.kubectl("--namespace", OPERATOR, "delete", "pod", *which)
        for component in ("inference", "collect", "serve"):
            selector = f"hemline.dev/component={component}"
            loop.kubectl("delete", "pod", "-l", selector, *at_once)
        if loop.node.folder is not None:
            loop.node.kill("kubelet")
        answered = loop.answered()

        def over() -> dict[str, Any] | None:
            run = loop.stage.get(FINE_TUNE, "mnist-now")
            return run if run and "finishedAt" in run["status"] else None

        run = loop.cluster.wait("the end of the run", over, seconds=420)
        assert run["status"]["verdict"] in ("Improved", "NotImproved"), run["status"]
        assert run["status"]["modelVersion"] == 3
        loop.stage.wait_condition(CLASSIFIER, "mnist", "Ready", "Serving", seconds=180)
        loop.cluster.wait("more answers", lambda: loop.answered() > answered + 50 or None)


def test_a_pin_rolls_back_within_seconds(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    with loop.step("the pin"):
        revision = loop.stage.rollout()["revision"]
        before = loop.lives()
        pin = '{"spec":{"model":{"version":1}}}'
        started = time.monotonic()
        loop.kubectl("patch", "icl", "mnist", "--type=merge", "-p", pin)
        seconds = loop.wait_for_revision(revision + 1)
        altogether = time.monotonic() - started
        assert loop.stage.rollout() == {"revision": revision + 1, "stable": 1}
        loop.stage.wait_condition(CLASSIFIER, "mnist", "Ready", "Serving")
        assert loop.lives() == before
        told = {
            event["reason"]
            for event in loop.cluster.list(EVENT, loop.namespace)
            if event["involvedObject"]["kind"] == "ImageClassifier"
        }
        assert {"Promoted", "RolledBack"} <= told
        with capsys.disabled():
            print(
                f"\n{altogether:.1f} s after a pin, {seconds:.1f} s after the document, pods served it"
            )


def test_no_message_was_lost_and_no_job_ran_twice(
    loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    with loop.step("the books"):
        stop = "import os, signal; os.kill(1, signal.SIGTERM)"
        loop.kubectl("exec", "simulator", "--", "python3", "-c", stop)

        def ended() -> str | None:
            pod = loop.stage.get(POD, "simulator")
            phase = str((pod or {})["status"]["phase"])
            return phase if phase in ("Succeeded", "Failed") else None

        phase = loop.cluster.wait("the simulator's end", ended, seconds=240)
        books = loop.kubectl("logs", "simulator", "--tail=40")
        assert phase == "Succeeded", books

        runs = loop.cluster.list(FINE_TUNE, loop.namespace)
        assert {run["metadata"]["name"] for run in runs} == {"mnist-1", "mnist-now"}
        jobs = loop.cluster.list(JOB, loop.namespace, "hemline.dev/fine-tune")
        for run in runs:
            (job,) = [one for one in jobs if owner(one) == run["metadata"]["uid"]]
            assert job["status"]["succeeded"] == 1
            assert not job["status"].get("failed")
            assert (
                len(loop.cluster.list(POD, loop.namespace, f"job-name={job['metadata']['name']}"))
                == 1
            )
        assert {run["status"]["modelVersion"] for run in runs} == {2, 3}
        if loop.node.folder is not None:
            account = f"system:serviceaccount:{OPERATOR}:hemline-operator"
            asked = [
                one
                for one in audited(loop.node.folder)
                if one["user"]["username"] == account
                and one["requestReceivedTimestamp"] >= loop.began
            ]
            assert asked
            assert not denied(asked)
            assert uses(asked) <= granted()
        with capsys.disabled():
            print(f"\n{books}")
            for command in (
                ("get", "icl,ft", "-o", "wide"),
                ("describe", "ft", "mnist-now"),
            ):
                print(f"\n$ kubectl {' '.join(command)}\n{loop.kubectl(*command)}")


def owner(manifest: dict[str, Any]) -> str:
    """The uid of the object that this one goes with."""
    return str(manifest["metadata"]["ownerReferences"][0]["uid"])
