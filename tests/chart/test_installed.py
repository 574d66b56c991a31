"""The chart on a real node: the quick start's values, the images of the project's Dockerfiles, a real Kafka beside it.

One installation lives through its whole life, and a client outside the cluster streams images to it all the while and
keeps books: what it sent must have been answered, whatever was upgraded, rolled back or scaled to zero. The steps run
in this order; one that fails fails those after it. Commands that a person types are those of docs/quickstart.md.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from cluster_kit import Images, Node, NodeKafka
from confluent_kafka.admin import AdminClient

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500, func_only=True)]

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
QUICK_START = (ROOT / "docs" / "quickstart.md").read_text()
NAMESPACE = "hemline"
TOPICS = {f"{NAMESPACE}.mnist.{role}" for role in ("images", "predictions", "labels", "dead")}
# Definitions of the kinds that the quick start's values need; nobody acts on them here.
DEFINITIONS = (
    "keda/keda.sh_scaledobjects.yaml",
    "keda/keda.sh_triggerauthentications.yaml",
    "prometheus-operator/monitoring.coreos.com_podmonitors.yaml",
    "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml",
)


class Load:
    """A client outside the cluster: streams inverted images, labels them a second later, keeps books."""

    def __init__(self, folder: Path, kafka: NodeKafka) -> None:
        self.books = folder / "books.json"
        self.output = folder / "load.log"
        arguments = [
            *("--broker", f"{kafka.url}?partitions=3", "--namespace", NAMESPACE),
            *("--rate", "25", "--label-delay", "1", "--drift", "inversion@0s"),
            *("--drain", "120", "--books", str(self.books), "--http", "127.0.0.1:27080"),
        ]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hemline_client_sim", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def status(self) -> dict[str, Any]:
        assert self.process.poll() is None, f"the client ended:\n{self.output.read_text()[-2000:]}"
        try:
            with urllib.request.urlopen("http://127.0.0.1:27080/status", timeout=10) as answer:
                read: dict[str, Any] = json.load(answer)
        except OSError:
            return {}
        return read

    def answered(self, version: int | None = None) -> int:
        """Images that were answered, by one version or by any."""
        tallies = self.status().get("tallies", [])
        return sum(one["answered"] for one in tallies if version in (None, one["version"]))

    def end(self) -> dict[str, Any]:
        """End the stream; the final books."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=240)
        assert code == 0, f"the books do not balance:\n{self.output.read_text()[-3000:]}"
        final: dict[str, Any] = json.loads(self.books.read_text())
        return final


class Installation:
    """A release on the node, and what is looked at in it."""

    def __init__(self, node: Node, environment: dict[str, str], folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.failed = ""
        self.load: Load | None = None
        self.environment = environment | {"KUBECONFIG": str(folder / "kubeconfig")}
        text = node.kubectl("config", "view", "--raw", "--flatten", "--minify")
        (folder / "kubeconfig").write_text(text)

    def run(self, command: str, *, seconds: float = 600) -> str:
        """A command as a person types it, in the repository's folder."""
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n{self.state()}"
        return done.stdout

    def run_as_printed(self, command: str) -> str:
        """A command of the quick start."""
        assert f"\n{command}\n" in QUICK_START, f"docs/quickstart.md does not say: {command}"
        return self.run(command)

    def state(self) -> str:
        """What a person would look at when something does not come up."""
        looks = ("get icl,ft,deploy,pod,job", "get events --sort-by=.lastTimestamp")
        return "\n".join(
            self.node.kubectl("-n", NAMESPACE, *look.split(), check=False) for look in looks
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return self.node.get("-n", NAMESPACE, kind, name)

    def pods(self, selector: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.node.get("-n", NAMESPACE, "pods", "-l", selector)[
            "items"
        ]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def wait(self, what: str, look: Callable[[], T | None], seconds: float = 240) -> T:
        deadline = time.monotonic() + seconds
        while not (seen := look()):
            assert time.monotonic() < deadline, f"waited in vain for {what}\n{self.state()}"
            time.sleep(0.5)
        return seen

    def wait_for_answers(self, more: int = 50, version: int | None = None) -> None:
        """The stream goes on: so many more images are answered."""
        assert self.load is not None
        load, before = self.load, self.load.answered(version)
        self.wait(f"{more} answers", lambda: load.answered(version) >= before + more)


@pytest.fixture(scope="module")
def installation(
    node: Node,
    images: Images,
    node_kafka: NodeKafka,
    environment: dict[str, str],
    foreign_definitions: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """A namespace under the restricted standard, the kinds of other operators, and values for this node."""
    folder = tmp_path_factory.mktemp("installation")
    place = Installation(node, environment, folder)
    for name in DEFINITIONS:
        node.kubectl("apply", "--server-side", "-f", foreign_definitions / name)
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    meta = {"name": NAMESPACE, "labels": labels}
    node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    prefix, _, tag = images.operator.rpartition("/operator:")
    values = {
        "image": {"registry": prefix.removesuffix("hemline").rstrip("/"), "tag": tag},
        "classifier": {"spec": {"broker": {"address": node_kafka.pods}}},
    }
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    yield place
    if place.load is not None and place.load.process.poll() is None:
        place.load.process.kill()
    place.run("helm uninstall hemline --namespace hemline --ignore-not-found --wait")
    node.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


@pytest.fixture
def step(
    installation: Installation, request: pytest.FixtureRequest, passed: Callable[[], bool]
) -> Iterator[Installation]:
    """What comes after a step that failed would only say so in other words."""
    if installation.failed:
        pytest.fail(f"an earlier step failed: {installation.failed}", pytrace=False)
    yield installation
    if not passed():
        installation.failed = request.node.name


def helm(place: Installation, what: str, *more: str) -> str:
    files = (
        "charts/hemline/values-kind.yaml",
        "tests/chart/values-node.yaml",
        place.folder / "values.yaml",
    )
    values = [f"--values={file}" for file in files]
    where = ["hemline", "charts/hemline", f"--namespace={NAMESPACE}", "--wait", "--timeout=6m"]
    return place.run(" ".join(["helm", what, *where, *values, *more]))


def test_it_is_installed_and_every_pod_is_ready(step: Installation) -> None:
    there = "finetunes.hemline.dev" in step.node.kubectl("get", "crds", "-o", "name")
    # Definitions that another one applied are left to the hook, as docs/troubleshooting.md says.
    notes = helm(step, "install", *(["--skip-crds"] if there else []))
    assert "kubectl wait" in notes
    step.run_as_printed("kubectl config set-context --current --namespace hemline")
    step.run_as_printed("kubectl wait icl/mnist --for=condition=Ready --timeout=15m")
    names = {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in step.pods("")}
    assert names == {
        f"hemline-{one}" for one in ("operator", "simulator", "inference", "collect", "serve")
    }
    for pod in step.pods(""):
        assert all(one["ready"] for one in pod["status"]["containerStatuses"]), pod["metadata"][
            "name"
        ]
    # The hook's Job is gone, and so are the rights that it had.
    left = step.node.kubectl(
        "get", "job,clusterrole,clusterrolebinding,serviceaccount", "-A", "-o", "name"
    )
    assert "hemline-crds" not in left
    # What the operators of others would act on is there.
    step.node.get("-n", NAMESPACE, "scaledobject", "mnist-inference")
    assert len(step.node.get("-n", NAMESPACE, "podmonitors")["items"]) == 3
    assert step.node.get("-n", NAMESPACE, "prometheusrules")["items"]
    assert step.node.get("-n", NAMESPACE, "configmaps", "-l", "grafana_dashboard=1")["items"]


def test_images_are_answered(step: Installation) -> None:
    def printed() -> bool:
        said = step.run("kubectl logs deployment/hemline-simulator")
        return said.count("version 1") >= 3

    step.wait("answers in the simulator's log", printed)
    tested = step.run_as_printed("helm test hemline --logs")
    assert "Phase:" in tested
    assert "Succeeded" in tested


def test_a_fine_tune_changes_the_version(
    step: Installation, node_kafka: NodeKafka, tmp_path_factory: pytest.TempPathFactory
) -> None:
    step.load = Load(tmp_path_factory.mktemp("load"), node_kafka)
    step.wait_for_answers(version=1)
    step.run_as_printed("kubectl apply -f k8s/finetune.yaml")
    step.run_as_printed("kubectl wait ft/mnist-now --for=condition=Succeeded --timeout=1h")
    shown = step.run_as_printed("kubectl get icl,ft")
    assert "Improved" in shown, shown
    status = step.get("ft", "mnist-now")["status"]
    assert status["modelVersion"] == 2
    job = step.get("job", "mnist-now")
    assert job["status"]["succeeded"] == 1
    step.wait(
        "version 2 to be live", lambda: step.get("icl", "mnist")["status"].get("liveVersion") == 2
    )
    step.wait_for_answers(version=2)


def test_an_upgrade_and_a_rollback_under_load(step: Installation) -> None:
    def pods() -> set[str]:
        return {
            pod["metadata"]["uid"] for pod in step.pods("app.kubernetes.io/name=hemline-inference")
        }

    def rolled(before: set[str], batch: int) -> bool:
        deployment = step.get("deployment", "mnist-inference")
        command = deployment["spec"]["template"]["spec"]["containers"][0]["command"]
        status = deployment["status"]
        return (
            str(batch) == command[command.index("--batch") + 1]
            and status.get("observedGeneration") == deployment["metadata"]["generation"]
            and status.get("updatedReplicas")
            == status.get("readyReplicas")
            == status.get("replicas")
            and not pods() & before
        )

    first = pods()
    helm(
        step,
        "upgrade",
        "--set classifier.spec.inference.maxBatch=64",
        "--set operator.logLevel=debug",
    )
    step.wait("new inference pods", lambda: rolled(first, 64))
    step.wait_for_answers(version=2)
    second = pods()
    step.run("helm rollback hemline 1 --namespace hemline --wait --timeout 6m")
    step.wait("the former inference pods", lambda: rolled(second, 256))
    step.wait_for_answers(version=2)
    assert (
        step.get("icl", "mnist")["status"]["liveVersion"] == 2
    )  # the model is not part of the release


def test_to_zero_and_back(step: Installation) -> None:
    # What KEDA does with the Deployment that it is given. Images wait in the meantime.
    assert step.load is not None
    step.run("kubectl scale deployment/mnist-inference --replicas=0")
    step.wait("no inference pod", lambda: not step.pods("app.kubernetes.io/name=hemline-inference"))
    before = step.load.status()["sent"]
    step.wait("images to wait", lambda: step.load and step.load.status()["sent"] >= before + 100)
    assert (
        step.get("deployment", "mnist-inference")["spec"]["replicas"] == 0
    )  # the operator leaves it alone
    step.run("kubectl scale deployment/mnist-inference --replicas=2")
    step.run("kubectl rollout status deployment/mnist-inference --timeout=4m")
    step.wait(
        "every image to be answered", lambda: step.load and step.load.status()["unanswered"] < 60
    )
    step.run("kubectl scale deployment/mnist-inference --replicas=1")
    step.wait_for_answers(version=2)


def test_no_image_was_lost(step: Installation) -> None:
    assert step.load is not None
    books = step.load.end()
    print(f"sent {books['sent']}, answered {books['answered']}, repeats {books['repeats']}")
    assert books["sent"] == books["answered"] > 1500
    assert books["unanswered"] == books["counted_twice"] == books["unknown"] == 0


def test_what_an_uninstall_leaves(step: Installation, node_kafka: NodeKafka) -> None:
    step.run("kubectl delete -f k8s/finetune.yaml")  # a person's own, as it came
    step.run("helm uninstall hemline --namespace hemline --wait --timeout 4m")
    step.wait("the pods to be gone", lambda: not step.node.get("-n", NAMESPACE, "pods")["items"])
    kinds = step.node.kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    # Kubernetes' own records of what happened, and its own of the namespace.
    kinds = [kind for kind in kinds if not kind.startswith(("events", "leases"))]
    own = {"configmap/kube-root-ca.crt", "serviceaccount/default"}

    def left() -> set[str]:
        listed = step.node.kubectl("-n", NAMESPACE, "get", ",".join(kinds), "-o", "name").split()
        return set(listed) - own

    expected = {"configmap/mnist-rollout", "persistentvolumeclaim/mnist-lake"}
    step.wait("the garbage collector", lambda: left() == expected or None)
    cluster_wide = step.node.kubectl("get", "clusterroles,clusterrolebindings,crds", "-o", "name")
    ours = {name for name in cluster_wide.split() if "hemline" in name}
    definitions = ("imageclassifiers.hemline.dev", "finetunes.hemline.dev")
    assert ours == {f"customresourcedefinition.apiextensions.k8s.io/{name}" for name in definitions}
    topics = AdminClient({"bootstrap.servers": node_kafka.host}).list_topics(timeout=30).topics
    assert set(topics) >= TOPICS
