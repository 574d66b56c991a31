"""What dashboards and rules ask for, and which metrics they name."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "charts/hemline/files/dashboards").glob("*.json"))
RULES = sorted((ROOT / "charts/hemline/files/rules").glob("*.yaml"))
_SELECTOR = re.compile(r"(?<![\w:])(hemline[_:][\w:]+|process_\w+|up)(?![\w:(])(\{[^}]*\})?")


@dataclass(frozen=True)
class Asked:
    """One query and where it stands."""

    where: str
    expr: str


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def panels() -> list[Asked]:
    """Every query of every panel, annotation and variable."""
    found = []
    for path in DASHBOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                where = f"{path.stem}: {panel['title']} {target['refId']}"
                found.append(Asked(where, target["expr"]))
    return found


def annotations() -> list[Asked]:
    return [
        Asked(f"{path.stem}: {one['name']}", one["expr"])
        for path in DASHBOARDS
        for one in json.loads(path.read_text(encoding="utf-8"))["annotations"]["list"]
    ]


def variables() -> list[Asked]:
    """The selectors inside ``label_values(...)``."""
    found = []
    for path in DASHBOARDS:
        board = json.loads(path.read_text(encoding="utf-8"))
        for one in board["templating"]["list"]:
            if one["type"] == "query":
                (selector,) = re.findall(r"label_values\((.+), \w+\)", one["query"]["query"])
                found.append(Asked(f"{path.stem}: ${one['name']}", selector))
    return found


def rules() -> list[tuple[dict[str, Any], Asked]]:
    return [
        (rule, Asked(f"{path.stem}: {rule.get('alert') or rule['record']}", rule["expr"]))
        for path in RULES
        for group in load(path)["groups"]
        for rule in group["rules"]
    ]


def selectors(expr: str) -> list[str]:
    """The series that a query reads, ranges and comments left out."""
    text = re.sub(r"#.*", "", expr)
    return sorted({name + (labels or "") for name, labels in _SELECTOR.findall(text)})


def names(expr: str) -> set[str]:
    """The metrics that a query names."""
    return {one.partition("{")[0] for one in selectors(expr)}


def filled(expr: str, **values: str) -> str:
    """A query as Grafana would send it."""
    values = {"__rate_interval": "10s", "__range": "5m", **values}
    for name, value in values.items():
        expr = expr.replace(f"${{{name}}}", value).replace(f"${name}", value)
    if "$" in expr:
        raise ValueError(f"a variable is left over: {expr}")
    return expr
