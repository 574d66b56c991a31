"""Every alert was seen to fire and to stay silent, and tells its reader what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RULES = sorted((ROOT / "charts/hemline/files/rules").glob("*.yaml"))
RUNBOOK = "https://hemline.dev/runbooks/"
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules_of(path: Path) -> list[dict[str, Any]]:
    return [rule for group in load(path)["groups"] for rule in group["rules"]]


ALERTS = [(path.stem, rule) for path in RULES for rule in rules_of(path) if "alert" in rule]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_the_groups_rules_do_what_their_tests_say(path: Path, prometheus_tools: Path) -> None:
    tests = HERE / f"{path.stem}.test.yaml"
    done = subprocess.run(
        [prometheus_tools / "promtool", "test", "rules", tests],
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_each_alert_is_tested_to_fire_and_to_stay_silent(path: Path) -> None:
    seen: dict[tuple[str, str], set[bool]] = {}
    for test in load(HERE / f"{path.stem}.test.yaml")["tests"]:
        for case in test.get("alert_rule_test", []):
            expected = case.get("exp_alerts") or []
            severities = {one["exp_labels"]["severity"] for one in expected}
            for severity in severities or {"critical", "warning", "info"}:
                seen.setdefault((case["alertname"], severity), set()).add(bool(expected))
    for rule in rules_of(path):
        if "alert" in rule:
            assert seen.get((rule["alert"], rule["labels"]["severity"])) == {True, False}, rule


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_each_recorded_series_is_named_by_level_and_metric(path: Path) -> None:
    for rule in rules_of(path):
        if "record" in rule:
            assert re.fullmatch(r"hemline:[a-z0-9_]+:[a-z0-9_]+", rule["record"]), rule


@pytest.mark.parametrize(("group", "rule"), ALERTS, ids=lambda value: str(value)[:40])
def test_an_alert_says_what_is_wrong_and_where_its_runbook_is(
    group: str, rule: dict[str, Any]
) -> None:
    name = rule["alert"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == RUNBOOK + name
    text = (ROOT / "docs/runbooks" / f"{name}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
