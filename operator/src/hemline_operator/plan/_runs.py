"""FineTunes as they were observed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from hemline_api.resources import FineTuneResourceSpec, FineTuneStatus, Mode, SnapshotStatus
from hemline_operator.plan._conditions import condition, parse_moment
from hemline_operator.plan._names import MADE_BY_LABEL, Key

__all__ = ["Attempt", "Run", "greatest_number", "last_attempt", "runs_of"]

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One FineTune: its spec (None with the problem where it is invalid) and what was recorded of it."""

    manifest: Manifest
    spec: FineTuneResourceSpec | None
    problem: str | None
    status: FineTuneStatus

    @property
    def name(self) -> str:
        """Its name, and its Job's."""
        return str(self.manifest["metadata"]["name"])

    @property
    def uid(self) -> str:
        """What its snapshot, its report and its model version are filed under."""
        return str(self.manifest["metadata"]["uid"])

    @property
    def by_policy(self) -> bool:
        """Made by the classifier's standing policy."""
        return MADE_BY_LABEL in self.manifest["metadata"].get("labels", {})

    @property
    def suspended(self) -> bool:
        """A person asked for it to wait."""
        return self.spec is not None and self.spec.suspend is Mode.ENABLED

    @property
    def started(self) -> bool:
        """Its Job is meant to be there: from here on nothing starts it again."""
        return self.status.job is not None

    @property
    def finished(self) -> bool:
        """Nothing more will happen, but for what becomes of its version."""
        return self.status.finished_at is not None

    @property
    def undecided(self) -> bool:
        """Its version passed the gate and it is not settled whether it goes live."""
        promoted = condition(self.manifest, "Promoted")
        return self.finished and promoted is not None and promoted["status"] == "Unknown"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A fine-tune that was started: what samples are counted from."""

    name: str
    uid: str
    snapshot: SnapshotStatus
    started_at: datetime
    finished_at: datetime | None


def runs_of(manifests: Iterable[Manifest]) -> list[Run]:
    """The runs that are not being deleted, in the order in which they may start: a person's first, then the oldest."""
    runs = [_run(one) for one in manifests if "deletionTimestamp" not in one["metadata"]]
    return sorted(
        runs,
        key=lambda run: (
            run.by_policy,
            run.manifest["metadata"].get("creationTimestamp", ""),
            run.name,
        ),
    )


def _run(manifest: Manifest) -> Run:
    status = FineTuneStatus.model_validate(manifest.get("status") or {})
    try:
        spec = FineTuneResourceSpec.model_validate(manifest["spec"])
    except ValidationError as error:
        return Run(manifest, None, describe(error), status)
    return Run(manifest, spec, None, status)


def describe(error: ValidationError) -> str:
    """The first problem of a spec, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"spec.{where}: {first['msg']}"


def last_attempt(runs: Iterable[Run], recorded: Attempt | None) -> Attempt | None:
    """The attempt that was started last: one of these runs, or one on record that is gone."""
    attempts = [
        Attempt(
            run.name,
            run.uid,
            run.status.snapshot,
            parse_moment(run.status.started_at),
            parse_moment(run.status.finished_at) if run.status.finished_at else None,
        )
        for run in runs
        if run.status.snapshot and run.status.started_at
    ]
    if recorded and all(one.uid != recorded.uid for one in attempts):
        attempts.append(recorded)
    return max(attempts, key=lambda one: (one.started_at, one.snapshot.labels), default=None)


def greatest_number(key: Key, runs: Iterable[Run], recorded: int) -> int:
    """How many FineTunes the standing policy has made: a number is never used for two."""
    pattern = re.compile(rf"{re.escape(key.name)}-([0-9]{{1,9}})")
    matches = (pattern.fullmatch(run.name) for run in runs)
    return max([recorded, *(int(match[1]) for match in matches if match)])
