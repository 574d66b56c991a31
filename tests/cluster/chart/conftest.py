"""The chart against a real API server and a real node."""

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "hemline"
CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    (ROOT / "tests" / "chart" / "cases.yaml").read_text()
)
NAMESPACE = "chart-dry-run"


@pytest.fixture(scope="session")
def chart_tools() -> dict[str, str]:
    """Helm, kubectl, kubeconform and the schemas in PATH and environment."""
    tools = subprocess.run(
        [ROOT / "tests" / "chart" / "tools.sh"], capture_output=True, text=True, check=False
    )
    if tools.returncode:
        reason = f"tests/chart/tools.sh failed: {tools.stderr.strip()[-500:]}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    environment = dict(os.environ)
    for setting in shlex.split(tools.stdout)[1:]:
        name, _, value = setting.partition("=")
        environment[name] = value.replace("$PATH", environment["PATH"])
    return environment


@pytest.fixture(scope="session")
def rendered(
    chart_tools: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A file of manifests for every case of tests/chart/cases.yaml, hooks and tests included."""
    folder = tmp_path_factory.mktemp("rendered")
    files = {}
    for name, case in CASES.items():
        values = [part for file in case.get("files", []) for part in ("--values", CHART / file)]
        arguments = ["helm", "template", "hemline", CHART, "--namespace", NAMESPACE, *values]
        done = subprocess.run(
            [*arguments, "--values", "-"],
            env=chart_tools,
            input=json.dumps(case.get("values", {})),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
        files[name] = folder / f"{name}.yaml"
        files[name].write_text(done.stdout)
    return files
