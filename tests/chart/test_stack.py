"""hemline-stack: what it gives to its parts.

The other projects' charts are out of reach here: empty ones of the same name and version stand in their place. So
what is rendered is hemline as the stack configures it, and what is checked of the others is that they are asked for
under their names, and that their values fit.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

CHARTS = Path(__file__).parents[2] / "charts"
STACK = CHARTS / "hemline-stack"
DEPENDENCIES = yaml.safe_load((STACK / "Chart.yaml").read_text())["dependencies"]
SWITCHES = {one["condition"].removesuffix(".enabled") for one in DEPENDENCIES if "condition" in one}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with hemline in charts/, and stand-ins for the rest."""
    chart = tmp_path_factory.mktemp("stack") / "hemline-stack"
    shutil.copytree(STACK, chart, ignore=shutil.ignore_patterns("charts"))
    shutil.copytree(CHARTS / "hemline", chart / "charts" / "hemline")
    for name in SWITCHES:
        (version,) = [one["version"] for one in DEPENDENCIES if one["name"] == name]
        folder = chart / "charts" / name
        (folder / "templates").mkdir(parents=True)
        stand_in = {"apiVersion": "v2", "name": name, "version": version.removeprefix("~")}
        (folder / "Chart.yaml").write_text(yaml.safe_dump(stand_in))
    return chart


def test_it_is_linted(helm: Any, stack: Path) -> None:
    done = helm.run("lint", "--strict", stack)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("enabled", [True, False], ids=["with the others", "alone"])
def test_hemline_is_rendered_as_on_kind(helm: Any, stack: Path, enabled: bool) -> None:
    def without_chart(text: str) -> list[Any]:
        objects = [one for one in yaml.safe_load_all(text) if one]
        return sorted(objects, key=lambda one: (one["kind"], one["metadata"]["name"]))

    switches = {name: {"enabled": enabled} for name in SWITCHES}
    ours = without_chart(helm.template(switches, chart=stack))
    assert ours == without_chart(helm.template(files=["values-kind.yaml"]))


def test_every_other_chart_has_a_switch_and_an_address() -> None:
    assert {one["name"] for one in DEPENDENCIES} == {"hemline", *SWITCHES}
    assert sorted(SWITCHES) == ["keda", "kube-prometheus-stack", "strimzi-kafka-operator"]
    values = yaml.safe_load((STACK / "values.yaml").read_text())
    for one in DEPENDENCIES:
        if one["name"] in SWITCHES:
            assert one["repository"].startswith("https://")
            assert values[one["name"]]["enabled"] is True


def test_grafana_and_prometheus_find_what_hemline_brings() -> None:
    values = yaml.safe_load((STACK / "values.yaml").read_text())
    hemline = yaml.safe_load((CHARTS / "hemline" / "values.yaml").read_text())
    sidecar = values["kube-prometheus-stack"]["grafana"]["sidecar"]["dashboards"]
    labels = hemline["monitoring"]["dashboards"]["labels"]
    assert labels == {sidecar["label"]: sidecar["labelValue"]}
    prometheus = values["kube-prometheus-stack"]["prometheus"]["prometheusSpec"]
    for kind in ("podMonitor", "serviceMonitor", "rule"):
        # By default it takes only what carries the label of its own release.
        assert prometheus[f"{kind}SelectorNilUsesHelmValues"] is False


def test_the_stack_refuses_a_part_that_it_does_not_have(helm: Any, stack: Path) -> None:
    done = helm.run("template", "hemline", stack, "--set", "grafana.enabled=true")
    assert done.returncode != 0
    assert "grafana" in done.stderr
