"""Helm, as the chart's tests use it. Where it is missing it is installed into the cache, as `make lint` does."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_kit import cache

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "hemline"


class Helm:
    """One release's templates, rendered without a cluster."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    def run(self, *arguments: str | Path, text: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["helm", *arguments],
            env=self.environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def template(
        self,
        values: Mapping[str, Any] | None = None,
        files: Sequence[str] = (),
        *,
        chart: Path = CHART,
        name: str = "hemline",
    ) -> str:
        """Every manifest, hooks and tests included."""
        done = self.run(
            *("template", name, chart, "--namespace", "vision", "--kube-version", "1.33.0"),
            *(part for file in files for part in ("--values", chart / file)),
            *("--values", "-"),
            text=json.dumps(values or {}),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objects(
        self, values: Mapping[str, Any] | None = None, files: Sequence[str] = (), **others: Any
    ) -> list[dict[str, Any]]:
        text = self.template(values, files, **others)
        return [one for one in yaml.safe_load_all(text) if one]

    def refusal(self, values: Mapping[str, Any], files: Sequence[str] = ()) -> str:
        """What is said of values that are not rendered."""
        done = self.run(
            *("template", "hemline", CHART, "--namespace", "vision"),
            *(part for file in files for part in ("--values", CHART / file)),
            *("--values", "-"),
            text=json.dumps(values),
        )
        assert done.returncode != 0, f"it was rendered:\n{done.stdout}"
        return done.stderr


def missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """The environment with helm and kubectl in its PATH."""
    tools = [ROOT / "tests" / "chart" / "tools.sh", "helm"]
    done = subprocess.run(tools, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"no helm: tests/chart/tools.sh failed: {done.stderr.strip()[-500:]}")
    out = dict(os.environ)
    for setting in shlex.split(done.stdout)[1:]:
        name, _, value = setting.partition("=")
        out[name] = value.replace("$PATH", out["PATH"])
    return out


@pytest.fixture(scope="session")
def helm(environment: dict[str, str]) -> Helm:
    return Helm(environment)


def only(objects: Sequence[Mapping[str, Any]], kind: str, name: str) -> Mapping[str, Any]:
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, [(one["kind"], one["metadata"]["name"]) for one in objects]
    return found[0]


@pytest.fixture(scope="session")
def pick() -> Any:
    """The one object of a kind and name."""
    return only


@pytest.fixture(scope="session")
def foreign_definitions() -> Path:
    """The folder of the real definitions of Strimzi, KEDA and the Prometheus operator."""
    folder = cache() / "crds"
    if not (folder / "prometheus-operator").exists():
        script = ROOT / "tests" / "cluster" / "crds.sh"
        made = subprocess.run([script, folder], capture_output=True, text=True, check=False)
        if made.returncode:
            missing(f"tests/cluster/crds.sh failed: {made.stderr.strip()[-500:]}")
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


PASSED = pytest.StashKey[bool]()


@pytest.fixture
def passed(request: pytest.FixtureRequest) -> Callable[[], bool]:
    """Whether the test has passed, for what comes after it."""
    return lambda: request.node.stash.get(PASSED, False)
