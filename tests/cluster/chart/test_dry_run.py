"""Every object that the chart renders, as the API server and the schemas of every supported version see it."""

import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import yaml

from hemline_operator.kube import CUSTOM_RESOURCE_DEFINITION
from hemline_operator.testing.cluster import Cluster

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900, func_only=True)]

ROOT = Path(__file__).parents[3]
CASES = yaml.safe_load((ROOT / "tests" / "chart" / "cases.yaml").read_text())
NAMESPACE = "chart-dry-run"
USED = (
    "prometheus-operator/monitoring.coreos.com_podmonitors.yaml",
    "strimzi/Kafka.yaml",
    "strimzi/KafkaNodePool.yaml",
    "prometheus-operator/monitoring.coreos.com_prometheusrules.yaml",
)


@pytest.fixture(scope="module")
def kubectl(
    cluster: Cluster, foreign_kinds: Path, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """The definitions of every kind that the chart makes are there; objects go to the namespace that warns."""
    copy = tmp_path_factory.mktemp("kubectl") / "kubeconfig"
    shutil.copy(cluster.kubeconfig, copy)
    command = ["kubectl", "--kubeconfig", str(copy)]
    subprocess.run(
        [*command, "config", "set-context", "--current", f"--namespace={NAMESPACE}"],
        check=True,
        capture_output=True,
    )
    for name in USED:
        file = foreign_kinds / name
        apply = [*command, "apply", "--server-side", "-f", str(file)]
        subprocess.run(apply, check=True, capture_output=True)
        definition = yaml.safe_load(file.read_text())["metadata"]["name"]
        cluster.wait(f"{definition} to be served", partial(served, cluster, definition))
    return command


def served(cluster: Cluster, definition: str) -> bool:
    found = cluster.get(CUSTOM_RESOURCE_DEFINITION, None, definition) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


@pytest.fixture(scope="module")
def restricted(kubectl: list[str]) -> Iterator[None]:
    """A namespace that warns of whatever the restricted Pod Security Standard would refuse.

    The account in it is the one that the operator makes for a classifier: pods of the chart run as it on Pub/Sub.
    """
    manifests = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/warn": "restricted"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "mnist-hemline", "namespace": NAMESPACE},
        },
    ]
    create = [*kubectl, "create", "-f", "-"]
    text = yaml.safe_dump_all(manifests).encode()
    subprocess.run(create, check=True, capture_output=True, input=text)
    yield
    delete = [*kubectl, "delete", "namespace", NAMESPACE, "--wait=false"]
    subprocess.run(delete, check=True, capture_output=True)


def dry_run(kubectl: list[str], text: str) -> "subprocess.CompletedProcess[str]":
    apply = ["apply", "--server-side", "--dry-run=server", "--validate=strict"]
    return subprocess.run(
        [*kubectl, *apply, "--warnings-as-errors", "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("restricted")
@pytest.mark.parametrize("name", CASES)
def test_the_api_server_takes_every_object_without_a_warning(
    kubectl: list[str], rendered: dict[str, Path], name: str
) -> None:
    done = dry_run(kubectl, rendered[name].read_text())
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr


@pytest.mark.usefixtures("restricted")
def test_the_examples_are_taken_without_a_warning(kubectl: list[str]) -> None:
    for file in sorted((ROOT / "k8s").glob("*.yaml")):
        text = file.read_text()
        for namespace in ("hemline", "default"):  # to the one that is there, and that warns
            text = text.replace(f"namespace: {namespace}\n", f"namespace: {NAMESPACE}\n")
        done = dry_run(kubectl, text)
        assert done.returncode == 0, f"{file.name}: {done.stderr}"


@pytest.mark.usefixtures("restricted")
def test_a_pod_that_may_do_too_much_is_warned_of(
    kubectl: list[str], rendered: dict[str, Path]
) -> None:
    loose = rendered["defaults"].read_text().replace("allowPrivilegeEscalation: false", "")
    done = dry_run(kubectl, loose)
    assert done.returncode != 0
    assert "would violate PodSecurity" in done.stderr


@pytest.mark.parametrize("version", ["1.29.0", "1.33.0", "1.37.0"])
def test_every_object_fits_the_schemas_of_a_supported_version(
    chart_tools: dict[str, str],
    foreign_kinds: Path,
    rendered: dict[str, Path],
    tmp_path: Path,
    version: str,
) -> None:
    definitions = [
        *(foreign_kinds / name for name in USED),
        *(ROOT / "charts" / "hemline" / "crds").glob("*.yaml"),
    ]
    script = ROOT / "tests" / "chart" / "schemas.py"
    python = ROOT / ".venv" / "bin" / "python"
    make = [python, script, "definitions", tmp_path, *definitions]
    subprocess.run(make, check=True)
    own = f"{chart_tools['HEMLINE_SCHEMAS']}/{{{{.NormalizedKubernetesVersion}}}}"
    done = subprocess.run(
        [
            *("kubeconform", "-strict", "-summary", "-kubernetes-version", version),
            *("-schema-location", f"{own}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"),
            "-schema-location",
            f"{tmp_path}/{{{{.Group}}}}/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json",
            *rendered.values(),
        ],
        env=chart_tools,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Invalid: 0, Errors: 0, Skipped: 0" in done.stdout
