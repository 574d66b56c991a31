"""The API server's audit log, compared with the operator's rules."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hemline_operator.manifests import OPTIONAL_RULES, RULES

__all__ = ["audited", "denied", "granted", "uses"]

Entry = dict[str, Any]
Use = tuple[str, str, str]


def granted() -> set[Use]:
    """What the operator's role allows: group, resource, verb."""
    return {
        (group, resource, verb)
        for rule in (*RULES, *OPTIONAL_RULES)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def audited(folder: Path) -> list[Entry]:
    """What accounts named hemline-operator asked of objects.

    Args:
        folder: the control plane's, with its audit log (level Metadata: annotations are recorded).
    """
    found = []
    with (folder / "logs" / "audit.jsonl").open() as lines:
        for line in lines:
            if not line.endswith("\n"):
                break  # being written
            entry = json.loads(line)
            if entry["user"]["username"].endswith(":hemline-operator") and "objectRef" in entry:
                found.append(entry)
    return found


def uses(entries: Iterable[Entry]) -> set[Use]:
    """What was asked for. An apply that makes its object is one request, named patch: it needs create too."""
    found = set()
    for entry in entries:
        group, resource, verb = _use(entry)
        found.add((group, resource, verb))
        if verb == "patch" and entry["responseStatus"]["code"] == 201:
            found.add((group, resource, "create"))
    return found


def denied(entries: Iterable[Entry]) -> set[Use]:
    """What was refused for want of a right.

    The status alone does not tell: 403 is also what admission says of a namespace that is being deleted. What
    authorization decided is an annotation.
    """
    return {
        _use(entry)
        for entry in entries
        if entry["responseStatus"]["code"] == 401
        or entry.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid"
    }


def _use(entry: Entry) -> Use:
    about = entry["objectRef"]
    resource = about["resource"] + (f"/{about['subresource']}" if "subresource" in about else "")
    return about.get("apiGroup", ""), resource, entry["verb"]
