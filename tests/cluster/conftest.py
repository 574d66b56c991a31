"""Where the tests' Kubernetes comes from.

``KUBECONFIG`` names a cluster to use as it is (kind, for one); else a control plane is started from
``KUBEBUILDER_ASSETS``, or from the binary that ``kube/build.sh`` makes, which is built where it is missing and Go is
there (10 to 20 minutes, once). Where none of that can be had, the tests are skipped with the reason, and fail with
``CI=true``.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

KIT = Path(__file__).parent
CRDS = KIT.parents[1] / "k8s" / "crds"


def cache() -> Path:
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HEMLINE_CLUSTER") or base / "hemline" / "cluster")


def unavailable(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"no Kubernetes API server: {reason}", pytrace=False)
    pytest.skip(f"no Kubernetes API server: {reason}")


def free_ports(number: int) -> int:
    """The first of so many neighbouring ports that nobody uses."""
    for first in range(27000, 32000, number):
        try:
            for port in range(first, first + number):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise RuntimeError("no free ports on 127.0.0.1 between 27000 and 32000")


def ensure_built() -> None:
    if os.environ.get("KUBEBUILDER_ASSETS"):
        missing = [
            name
            for name in ("etcd", "kube-apiserver", "kube-controller-manager")
            if not (Path(os.environ["KUBEBUILDER_ASSETS"]) / name).exists()
        ]
        if missing:
            unavailable(f"KUBEBUILDER_ASSETS has no {', '.join(missing)}")
        return
    if (cache() / "bin" / "kube").exists():
        return
    if not shutil.which("go"):
        unavailable(
            "neither KUBECONFIG nor KUBEBUILDER_ASSETS is set, and there is no Go to build one"
        )
    print("building Kubernetes from its Go modules: 10 to 20 minutes, once", file=sys.stderr)
    built = subprocess.run([KIT / "kube" / "build.sh", cache() / "bin" / "kube"], check=False)
    if built.returncode:
        unavailable("tests/cluster/kube/build.sh failed; its output is above")


def started(folder: Path) -> Iterator[Path]:
    """A control plane of the test run's own; yields the folder of its state."""
    ensure_built()
    run = folder / "run"
    environment = {
        **os.environ,
        "HEMLINE_CLUSTER": str(cache()),
        "HEMLINE_CLUSTER_RUN": str(run),
        "HEMLINE_API_PORT": str(free_ports(3)),
    }
    environment.pop("KUBECONFIG", None)
    script = KIT / "cluster.sh"
    up = subprocess.run([script, "up", "--control-plane-only"], env=environment, check=False)
    if up.returncode:
        unavailable("tests/cluster/cluster.sh up --control-plane-only failed; its output is above")
    try:
        yield run
    finally:
        subprocess.run([script, "down"], env=environment, check=True)


def wait_established(kubectl: Sequence[str | Path], *definitions: str | Path) -> None:
    """Wait for custom resource definitions.

    `kubectl wait` itself ends with an error where one is so new that it has no conditions at all.
    """
    command = [*kubectl, "wait", "--for=condition=Established", "--timeout=60s", *definitions]
    deadline = time.monotonic() + 60
    while True:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode == 0:
            return
        if "accessor error" not in done.stderr or time.monotonic() > deadline:
            pytest.fail(f"no custom resource definitions: {done.stderr.strip()}", pytrace=False)
        time.sleep(0.1)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path | None]]:
    """A kubeconfig with every right, and the folder of the control plane's state if the tests started it."""
    bin_folder = str(cache() / "bin")
    os.environ["PATH"] = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    if os.environ.get("KUBECONFIG"):
        yield Path(os.environ["KUBECONFIG"]), None
        return
    for run in started(tmp_path_factory.mktemp("control-plane")):
        yield run / "admin.kubeconfig", run


@pytest.fixture(scope="session")
def cluster(control_plane: tuple[Path, Path | None]) -> Iterator[object]:
    """Calls of the API with every right; the custom resource definitions are there."""
    testing = pytest.importorskip("hemline_operator.testing.cluster")
    kubeconfig, folder = control_plane
    kubectl = ["kubectl", "--kubeconfig", kubeconfig]
    apply = [*kubectl, "apply", "--server-side", "--force-conflicts", "-f", CRDS]
    subprocess.run(apply, check=True, capture_output=True)
    wait_established(kubectl, "crd/imageclassifiers.hemline.dev", "crd/finetunes.hemline.dev")
    cluster = testing.Cluster(kubeconfig, folder)
    yield cluster
    cluster.close()


@pytest.fixture
def namespace(control_plane: tuple[Path, Path | None]) -> Iterator[str]:
    """A namespace of the test's own, under the restricted Pod Security Standard: other pods are refused."""
    kubeconfig, _ = control_plane
    name = f"test-{uuid.uuid4().hex[:8]}"
    run = ["kubectl", "--kubeconfig", kubeconfig]
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }
    create = [*run, "create", "-f", "-"]
    subprocess.run(create, check=True, capture_output=True, input=json.dumps(manifest), text=True)
    yield name
    subprocess.run(
        [*run, "delete", "namespace", name, "--wait=false"], check=True, capture_output=True
    )


@pytest.fixture(scope="session")
def foreign_kinds(control_plane: tuple[Path, Path | None], cluster: object) -> Path:
    """The folder of the real definitions of Strimzi, KEDA and the Prometheus operator; those in use are applied."""
    kubeconfig, _ = control_plane
    folder = cache() / "crds"
    if not (folder / "strimzi" / "KafkaTopic.yaml").exists():
        if not (shutil.which("go") and shutil.which("mvn")):
            unavailable("the definitions of Strimzi, KEDA and Prometheus need Go and Maven")
        made = subprocess.run([KIT / "crds.sh", folder], check=False)
        if made.returncode:
            unavailable("tests/cluster/crds.sh failed; its output is above")
    files = [
        folder / "strimzi" / "KafkaTopic.yaml",
        folder / "strimzi" / "KafkaUser.yaml",
        folder / "keda" / "keda.sh_scaledobjects.yaml",
        folder / "keda" / "keda.sh_triggerauthentications.yaml",
        folder / "prometheus-operator" / "monitoring.coreos.com_podmonitors.yaml",
    ]
    run = ["kubectl", "--kubeconfig", kubeconfig]
    for file in files:
        subprocess.run(
            [*run, "apply", "--server-side", "-f", file], check=True, capture_output=True
        )
        wait_established(run, "-f", file)
    return folder
