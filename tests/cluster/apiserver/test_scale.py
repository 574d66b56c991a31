"""Two hundred classifiers: every one is reconciled; what it took is reported."""

import time
from pathlib import Path

import httpx
import pytest

from hemline_operator.kube import CLASSIFIER, DEPLOYMENT
from hemline_operator.testing.cluster import Cluster, RunningOperator, Stage, condition

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(1800, func_only=True)]

CLASSIFIERS = 200


def resident_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) // 1024


def test_two_hundred_classifiers(
    cluster: Cluster, namespace: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(cluster, namespace)
    with RunningOperator(cluster, namespace, tmp_path, options=["--poll", "10"]) as operator:
        cluster.wait("the operator to answer", lambda: answers(operator))
        empty = resident_mib(operator.pid)
        started = time.monotonic()
        for number in range(CLASSIFIERS):
            stage.classifier(f"c{number}", inference={"replicas": 0})
        made = time.monotonic() - started

        def all_looked_at() -> bool | None:
            found = cluster.list(CLASSIFIER, namespace)
            return all(condition(one, "Ready") for one in found) or None

        cluster.wait("every classifier to have a status", all_looked_at, seconds=900)
        cluster.wait(
            "every deployment",
            lambda: len(cluster.list(DEPLOYMENT, namespace)) == 3 * CLASSIFIERS or None,
            seconds=900,
        )
        took = time.monotonic() - started
        full = resident_mib(operator.pid)
        operator.kill()
        started = time.monotonic()
        operator.start()
        line = f'hemline_operator_last_success_seconds{{classifier="c{CLASSIFIERS - 1}"'
        cluster.wait(
            "every classifier to be looked at again",
            lambda: (
                (
                    answers(operator)
                    and operator.ask("/metrics").text.count("last_success_seconds{") == CLASSIFIERS
                )
                or None
            ),
            seconds=900,
        )
        assert line in operator.ask("/metrics").text
        again = time.monotonic() - started
        with capsys.disabled():
            print(
                f"\n{CLASSIFIERS} classifiers: made in {made:.1f} s, all reconciled after {took:.1f} s; "
                f"after a restart all looked at in {again:.1f} s; "
                f"operator {empty} MiB empty, {full} MiB full, {resident_mib(operator.pid)} MiB restarted"
            )
        assert "Traceback" not in operator.log.read_text()


def answers(operator: RunningOperator) -> bool | None:
    try:
        return operator.ask("/healthz").status_code == 200
    except httpx.TransportError:
        return None
