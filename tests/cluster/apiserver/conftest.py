"""What tests of the operator against a real API server share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hemline_operator.testing.cluster import Cluster, PlayedKubelet, RunningOperator, Stage


@pytest.fixture
def stage(cluster: Cluster, namespace: str) -> Stage:
    return Stage(cluster, namespace)


@pytest.fixture
def player(cluster: Cluster, namespace: str) -> Iterator[PlayedKubelet]:
    with PlayedKubelet(cluster, namespace) as player:
        yield player


@pytest.fixture
def operator(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[RunningOperator]:
    with RunningOperator(cluster, namespace, tmp_path) as operator:
        yield operator
    assert "Traceback" not in operator.log.read_text()
