"""A real Prometheus and promtool for the tests of rules and dashboards."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def prometheus_tools() -> Path:
    """The folder of prometheus and promtool; without one a test is skipped by name, and fails in CI."""
    found = subprocess.run(
        [ROOT / "tests/servers/prometheus.sh"],
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    if found.returncode == 0:
        return Path(found.stdout.strip())
    reason = found.stderr.strip().splitlines()[-1] if found.stderr.strip() else "no Prometheus"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
