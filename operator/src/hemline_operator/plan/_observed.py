"""What is known of one classifier when its next steps are planned.

Objects of the cluster come as their manifests. What must be asked for (samples, reports, pods) comes as facts: a plan
names the questions it needs answered, the driver asks them and plans again. So planning does no I/O at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hemline_api.report import TrainingReport
from hemline_api.resources import SnapshotStatus
from hemline_operator.plan._names import Key

__all__ = [
    "AskJob",
    "AskPod",
    "AskReport",
    "AskSnapshot",
    "AskSummary",
    "Fact",
    "JobAnswer",
    "Observed",
    "PodAnswer",
    "Question",
    "ReportAnswer",
    "Summary",
    "Unknown",
    "VersionCount",
]

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AskSummary:
    """How many labelled samples are there, how many came since a snapshot, and how do the versions do?

    Args:
        since: table versions (images, labels, predictions) that fresh samples are counted from.
        answered_since: table versions from which on answers count for the versions (a trial).
    """

    since: tuple[int, int, int] | None = None
    answered_since: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class AskSnapshot:
    """What is the data set now? Tagged, and the same answer for ever for one uid."""

    uid: str


@dataclass(frozen=True, slots=True)
class AskReport:
    """What did the run of this uid find?"""

    uid: str


@dataclass(frozen=True, slots=True)
class AskPod:
    """What does this inference pod serve?"""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class AskJob:
    """Is this Job there? Asked of the API server itself, before a Job is taken to be gone for good."""

    name: str


Question = AskSummary | AskSnapshot | AskReport | AskPod | AskJob


@dataclass(frozen=True, slots=True)
class VersionCount:
    """How one version did on the newest labelled answers."""

    version: int
    labelled: int
    correct: int
    answered: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of the lake, as ``samples serve`` gives them."""

    stream_labelled: int
    fresh_labelled: int
    snapshot: tuple[int, int, int]
    versions: tuple[VersionCount, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportAnswer:
    """The report of a run; None: there is none."""

    report: TrainingReport | None


@dataclass(frozen=True, slots=True)
class PodAnswer:
    """What an inference pod says of itself."""

    revision: int | None
    serving: tuple[int, ...] = ()
    refused: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobAnswer:
    """Whether a Job is there."""

    there: bool


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody answered."""

    why: str


Fact = Summary | SnapshotStatus | ReportAnswer | PodAnswer | JobAnswer | Unknown


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that a plan is made from.

    Args:
        key: the classifier's name.
        now: the time, aware.
        classifier: its manifest; None where it is not there.
        fine_tunes: every FineTune that names it.
        children: what is there of the operator's own, by kind and name.
        jobs: by name.
        pods: of every component, by name.
        facts: answers to questions of the plan before.
        failures: children that the API refused when they were last applied, by "Kind name", and why.
    """

    key: Key
    now: datetime
    classifier: Manifest | None
    fine_tunes: tuple[Manifest, ...] = ()
    children: Mapping[tuple[str, str], Manifest] = field(default_factory=dict)
    jobs: Mapping[str, Manifest] = field(default_factory=dict)
    pods: Mapping[str, Manifest] = field(default_factory=dict)
    facts: Mapping[Question, Fact] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
