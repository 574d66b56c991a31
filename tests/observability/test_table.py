"""The table of metrics, the dashboards and the rules agree, without a process running."""

import json

import pytest

from hemline_api.metrics import TABLE, Metric

from .queries import DASHBOARDS, Asked, annotations, names, panels, rules, variables

DECLARED = {name for metric in TABLE for name in metric.series}
RECORDED = {rule["record"] for rule, _ in rules() if "record" in rule}
PROCESS = {
    "up",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_start_time_seconds",
    "process_open_fds",
}
ASKED = [*panels(), *annotations(), *variables(), *(asked for _, asked in rules())]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.where)
def test_only_declared_metrics_are_asked_for(asked: Asked) -> None:
    assert names(asked.expr)
    assert names(asked.expr) <= DECLARED | RECORDED | PROCESS


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)
def test_every_declared_metric_is_used(metric: Metric) -> None:
    # A variable's list of names is no use: nobody looks at it.
    looked_at = [*panels(), *annotations(), *(asked for _, asked in rules())]
    assert any(names(asked.expr) & set(metric.series) for asked in looked_at)


@pytest.mark.parametrize("metric", TABLE, ids=lambda metric: metric.name)
def test_a_metric_is_named_and_labelled_as_the_design_says(metric: Metric) -> None:
    prefix, component, *what = metric.name.split("_")
    assert prefix == "hemline" and component and what
    assert not metric.name.endswith("_total")
    assert metric.help.endswith(".")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert set(metric.labels) <= {
        "classifier", "group", "kind", "label", "namespace", "origin", "outcome", "process",
        "reason", "role", "service", "table", "topic", "verdict", "version",
    }  # fmt: skip


def test_names_are_declared_once() -> None:
    assert len({metric.name for metric in TABLE}) == len(TABLE)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_explains_itself(path) -> None:
    board = json.loads(path.read_text(encoding="utf-8"))
    assert board["uid"] == f"hemline-{path.stem}"
    assert {one["name"] for one in board["templating"]["list"]} == {
        "datasource",
        "namespace",
        "classifier",
    }
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places, f"{panel['title']} lies on another panel"
        places |= cells
        if panel["type"] != "row":
            assert len(panel["description"]) > 20 and panel["description"].endswith(".")
            assert panel["targets"]
            if panel["type"] != "table":
                assert panel["fieldConfig"]["defaults"]["unit"]
                assert all(target["legendFormat"] for target in panel["targets"])
