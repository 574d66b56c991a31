"""Conditions and statuses: built, merged, compared."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

__all__ = ["Finding", "condition", "merged", "moment", "parse_moment", "status_changes"]

Manifest = Mapping[str, Any]
Truth = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition before it is compared with what was there."""

    type: str
    status: Truth
    reason: str
    message: str = ""


def moment(now: datetime) -> str:
    """A time as Kubernetes writes it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_moment(text: str) -> datetime:
    """A time as Kubernetes writes it, aware."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def condition(manifest: Manifest, kind: str) -> Manifest | None:
    """A condition of an object."""
    for one in manifest.get("status", {}).get("conditions") or ():
        if one["type"] == kind:
            found: Manifest = one
            return found
    return None


def merged(manifest: Manifest, findings: Iterable[Finding], now: datetime) -> list[dict[str, Any]]:
    """The conditions of an object, in the order of the findings; a time changes only with its status."""
    generation = manifest["metadata"].get("generation")
    out = []
    for finding in findings:
        before = condition(manifest, finding.type)
        same = before is not None and before["status"] == finding.status
        changed = before.get("lastTransitionTime") if before and same else None
        out.append(
            {
                "type": finding.type,
                "status": finding.status,
                "reason": finding.reason,
                "message": finding.message,
                "observedGeneration": generation,
                "lastTransitionTime": changed or moment(now),
            }
        )
    return out


def status_changes(observed: Manifest, wanted: Manifest) -> dict[str, Any]:
    """The merge patch from one status to another: what is None is removed, what is not named stays."""
    changes: dict[str, Any] = {}
    for name, value in wanted.items():
        before = observed.get(name)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := status_changes(before, value):
                changes[name] = inner
        elif before != value:
            changes[name] = value
    return changes
