"""``hemline models``: every version, what the gate said, what serves."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from hemline._place import StateOption, find_state
from hemline.commands._lake import ClassifierOption, LakeOption, find_lake
from hemline.commands._output import form_of, print_rows
from hemline.up._http import get_status
from hemline_api import BadReport
from hemline_api.report import TrainingReport
from hemline_api.rollout import Rollout
from hemline_store import Lake

__all__ = ["models"]

_COLUMNS = (
    "version",
    "serves",
    "parent",
    "verdict",
    "test",
    "frozen",
    "fresh",
    "live",
    "made",
    "run",
)
_ACCURACY = re.compile(r"(^|_)accuracy$")


def models(
    state: StateOption = None,
    lake: LakeOption = None,
    classifier: ClassifierOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a version.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV instead of a table.")] = False,
) -> None:
    """List the model versions: parent, the gate's verdict, accuracies, and which of them serves.

    test: on the test set, from the model's card. frozen and fresh: on the held-out validation set and the newest
    held-out labels, from the run's report. live: on the newest labelled answers of the running installation.

    Examples:

      hemline models

      hemline models --json
    """
    uri, name = find_lake(state, lake, classifier)
    opened = Lake(uri, name)
    place = find_state(state)
    rollout = None if lake is not None else _rollout(place.rollout)
    installation = None if lake is not None else place.read_installation()
    address = installation.http if installation and not installation.stopped else None
    live = _live_accuracy(get_status(address) if address else None)
    pin = None if lake is not None else place.read_pin()
    rows = []
    for version in opened.models.versions():
        card = opened.models.card(version)
        report = _report(opened, card.get("run_uid"))
        rows.append(
            (
                version,
                _role(version, rollout, pin),
                card.get("parent"),
                report.verdict.value if report else None,
                _test_accuracy(card),
                _evaluation(report, "frozen"),
                _evaluation(report, "fresh"),
                live.get(version),
                str(card.get("created", ""))[:19] or None,
                card.get("run_uid"),
            )
        )
    print_rows(_COLUMNS, rows, form_of(as_json=as_json, as_csv=as_csv))


def _rollout(path: Any) -> Rollout | None:
    try:
        return Rollout.from_json(path.read_bytes())
    except FileNotFoundError:
        return None


def _role(version: int, rollout: Rollout | None, pin: int | None) -> str | None:
    if rollout is None:
        return None
    if rollout.canary and rollout.canary.version == version:
        return f"canary {rollout.canary.fraction:.0%}"
    if rollout.stable != version:
        return None
    return "live, pinned" if pin == version else "live"


def _report(lake: Lake, uid: str | None) -> TrainingReport | None:
    data = lake.reports.get(uid) if uid else None
    try:
        return TrainingReport.from_json(data) if data is not None else None
    except BadReport:
        return None  # a report of another release: the version is listed without it


def _evaluation(report: TrainingReport | None, name: str) -> float | None:
    found = [one for one in report.evaluations if one.name == name] if report else []
    return found[0].candidate_accuracy if found else None


def _test_accuracy(card: Mapping[str, Any]) -> float | None:
    metrics = card.get("metrics")
    if not isinstance(metrics, Mapping):
        return None
    for name in ("test_accuracy", *metrics):
        value = metrics.get(name)
        if "test" in name and _ACCURACY.search(name) and isinstance(value, int | float):
            return float(value)
    return None


def _live_accuracy(status: Mapping[str, Any] | None) -> dict[int, float]:
    return {
        one["version"]: one["correct"] / one["labelled"]
        for one in (status or {}).get("versions", ())
        if one["labelled"]
    }
