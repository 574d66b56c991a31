"""What a plan consists of: steps that are safe to repeat, in an order that is safe to break off anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hemline_operator.kube import Kind
from hemline_operator.plan._observed import Question

__all__ = ["Action", "Announce", "Apply", "Create", "Delete", "Patch", "Plan"]

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Apply:
    """Make a child so (server-side apply). A refusal is noted and hinders nothing else."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object of a deterministic name; one that is there already is as good."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge changes into an object, provided nobody changed it since it was observed."""

    kind: Kind
    namespace: str
    name: str
    resource_version: str | None
    changes: Manifest
    subresource: Literal["status"] | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object of this uid; None: whichever has the name. One that is gone is as good."""

    kind: Kind
    namespace: str
    name: str
    uid: str | None


@dataclass(frozen=True, slots=True)
class Announce:
    """Post an Event about an object. The same reason and message about it is one Event, ever."""

    about: Manifest
    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


Action = Apply | Create | Patch | Delete | Announce


@dataclass(frozen=True, slots=True)
class Plan:
    """The next steps for one classifier.

    Args:
        actions: in order; the first that fails ends the pass (but for a refused Apply).
        questions: what must be known to plan on: then the actions are not taken, but planned again with the answers.
        again_seconds: when to look again though nothing happened; None: at the next resync.
    """

    actions: Sequence[Action] = ()
    questions: frozenset[Question] = field(default_factory=frozenset)
    again_seconds: float | None = None
