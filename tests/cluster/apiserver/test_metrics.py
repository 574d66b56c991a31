"""What the operator exports against a real API server, kept as a file for the test of the dashboards."""

import os
import re
from pathlib import Path

import httpx

from hemline_api.metrics import TABLE
from hemline_operator.testing.cluster import PlayedKubelet, RunningOperator, Stage

RECORD = Path(__file__).parents[2] / "observability" / "operator.metrics"
"""Expositions one after the other, each ended by an empty line. Recorded again with HEMLINE_RECORD=1."""


def shape(exposition: str) -> dict[str, set[str]]:
    """The label names of each of our series."""
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(hemline_\w+)(?:\{(.*)\})? ", exposition, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def answers(operator: RunningOperator) -> bool:
    try:
        return operator.ask("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_recorded_metrics_are_those_of_a_running_operator(
    stage: Stage, player: PlayedKubelet, operator: RunningOperator
) -> None:
    stage.cluster.wait("its endpoints", lambda: answers(operator))
    seen = [operator.ask("/metrics").text]

    def looks() -> float:
        counts = re.findall(
            r"^hemline_operator_reconciles_total\{.*\} (.+)$", seen[-1], re.MULTILINE
        )
        return sum(map(float, counts))

    def moved() -> bool:
        before = looks()
        seen.append(operator.ask("/metrics").text)
        if looks() == before:
            seen.pop()
        return len(seen) > 3

    stage.classifier()
    stage.cluster.wait("three looks", moved)
    stage.wait_ready()
    seen.append(operator.ask("/metrics").text)
    if os.environ.get("HEMLINE_RECORD"):
        text = "\n".join(one.rstrip("\n") + "\n" for one in seen)
        RECORD.write_text(text.replace(stage.namespace, "shop"), encoding="utf-8")
    live = shape("".join(seen))
    assert live == shape(RECORD.read_text(encoding="utf-8"))
    assert live.keys() <= {name for metric in TABLE for name in metric.series}
