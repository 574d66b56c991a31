"""The chart's hook as the API server sees it: it brings definitions up to date, with no right that it does not need."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemline_api.resources import custom_resource_definitions
from hemline_operator.kube import CUSTOM_RESOURCE_DEFINITION
from hemline_operator.testing.cluster import Cluster

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(300, func_only=True)]

NAME = "finetunes.hemline.dev"
COLUMN = "Message"


@pytest.fixture
def account(
    cluster: Cluster, namespace: str, rendered: dict[str, Path], tmp_path: Path
) -> Iterator[Path]:
    """A kubeconfig of the hook's own account, with the role that the chart gives it."""
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    objects = [one for one in yaml.safe_load_all(rendered["defaults"].read_text()) if one]
    mine = [
        one for one in objects if one["metadata"]["name"] == "hemline-crds" and one["kind"] != "Job"
    ]
    assert len(mine) == 3
    text = yaml.safe_dump_all(mine).replace("namespace: chart-dry-run", f"namespace: {namespace}")
    subprocess.run([*kubectl, "apply", "-f", "-"], input=text.encode(), check=True)
    token = subprocess.run(
        [*kubectl, "create", "token", "hemline-crds", "--namespace", namespace],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": token}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    subprocess.run(
        [*kubectl, "delete", "--ignore-not-found", "-f", "-"], input=text.encode(), check=True
    )


def run(account: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "hemline_operator.crds", *arguments],
        env={"KUBECONFIG": str(account), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def columns(cluster: Cluster) -> list[str]:
    found = cluster.get(CUSTOM_RESOURCE_DEFINITION, None, NAME)
    assert found is not None
    return [one["name"] for one in found["spec"]["versions"][0]["additionalPrinterColumns"]]


def test_an_older_definition_is_brought_up_to_date(cluster: Cluster, account: Path) -> None:
    older = _without_a_column()
    apply = ["apply", "--server-side", "--force-conflicts", "--field-manager", "helm", "-f", "-"]
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    subprocess.run([*kubectl, *apply], input=yaml.safe_dump(older).encode(), check=True)
    assert COLUMN not in columns(cluster)
    for _ in range(2):  # and once more, when there is nothing to do
        done = run(account, "apply")
        assert done.returncode == 0, done.stderr
        assert f"{NAME} applied" in done.stdout
        assert COLUMN in columns(cluster)
    # An install over what was left, with definitions that differ: Helm applies without force.
    again = [*kubectl, "apply", "--server-side", "--dry-run=server", "--field-manager", "helm"]
    subprocess.run([*again, "-f", "-"], input=yaml.safe_dump(older).encode(), check=True)


def test_its_account_may_touch_nothing_else(cluster: Cluster, account: Path) -> None:
    def may(*what: str) -> bool:
        asked = subprocess.run(
            ["kubectl", "--kubeconfig", account, "auth", "can-i", *what],
            capture_output=True,
            text=True,
            check=False,
        )
        return asked.stdout.strip() == "yes"

    crd = "customresourcedefinitions.apiextensions.k8s.io"
    assert may("patch", f"{crd}/{NAME}")
    assert not may("patch", f"{crd}/kafkas.kafka.strimzi.io")
    assert not may("delete", f"{crd}/{NAME}")
    assert not may("list", crd)
    assert not may("get", "secrets")
    assert not may("create", "pods")


def test_without_a_right_it_says_so_in_one_line(cluster: Cluster, account: Path) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(cluster.kubeconfig)]
    delete = [*kubectl, "delete", "clusterrolebinding", "hemline-crds"]
    subprocess.run(delete, check=True, capture_output=True)
    # The authorizer's cache follows within moments.
    done = cluster.wait("the refusal", lambda: _failed(run(account, "apply")))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "forbidden" in done.stderr


def _failed(done: "subprocess.CompletedProcess[str]") -> "subprocess.CompletedProcess[str] | None":
    return done if done.returncode else None


def _without_a_column() -> dict[str, Any]:
    _, definition = custom_resource_definitions()
    (version,) = definition["spec"]["versions"]
    kept = [one for one in version["additionalPrinterColumns"] if one["name"] != COLUMN]
    version["additionalPrinterColumns"] = kept
    return definition
