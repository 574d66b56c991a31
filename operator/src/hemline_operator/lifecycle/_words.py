"""The vocabulary of decisions: reasons for programs, messages for people, events for the log."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from hemline_api.rollout import Rollout

__all__ = ["Change", "Event", "EventKind", "Note", "Reason"]


class Reason(StrEnum):
    """Why, in one CamelCase word: a condition's reason on Kubernetes. A gate's ``Verdict`` is a reason too."""

    DUE = "Due"
    WAITING_FOR_SAMPLES = "WaitingForSamples"
    SUMMARY_UNKNOWN = "SummaryUnknown"
    COOLDOWN = "Cooldown"
    SUSPENDED = "Suspended"
    PINNED = "Pinned"
    UNPINNED = "Unpinned"
    CANARY_ON_TRIAL = "CanaryOnTrial"
    TAKING_SNAPSHOT = "TakingSnapshot"
    STARTING = "Starting"
    RUNNING = "Running"
    ENDING = "Ending"
    BACKOFF = "Backoff"
    COMPLETED = "Completed"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    PROMOTED = "Promoted"
    ALREADY_LIVE = "AlreadyLive"
    BASE_CHANGED = "BaseChanged"
    CANARY_HELD = "CanaryHeld"
    CANARY_WORSE = "CanaryWorse"
    NO_SUCH_VERSION = "NoSuchVersion"
    REFUSED_BY_INFERENCE = "RefusedByInference"


class EventKind(StrEnum):
    """What happened."""

    READY = "Ready"
    FINE_TUNE_DUE = "FineTuneDue"
    FINE_TUNE_STARTED = "FineTuneStarted"
    FINE_TUNE_RETRIED = "FineTuneRetried"
    FINE_TUNE_ENDED = "FineTuneEnded"
    FINE_TUNE_FAILED = "FineTuneFailed"
    PROMOTED = "Promoted"
    REFUSED = "Refused"
    CANARY_STARTED = "CanaryStarted"
    ROLLED_BACK = "RolledBack"
    PINNED = "Pinned"
    UNPINNED = "Unpinned"
    PIN_REFUSED = "PinRefused"
    PROCESS_RESTARTED = "ProcessRestarted"


class Event(BaseModel):
    """One line of the decision log."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    sequence: int = Field(ge=1, description="Grows by one with every event of a classifier.")
    at: AwareDatetime = Field(description="When it was decided.")
    kind: EventKind
    reason: str = Field(description="Why, in one CamelCase word.")
    message: str = Field(description="What and why, in one line.")
    version: int | None = Field(default=None, description="The model version it is about.")
    from_version: int | None = Field(
        default=None, alias="from", description="The version that served before."
    )
    uid: str | None = Field(default=None, description="The FineTune it is about.")


@dataclass(frozen=True, slots=True)
class Note:
    """A reason and its message: what a condition shows."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A decision about what serves.

    ``rollout`` is the next document, or None when the one in force stays. ``kind`` is None when nothing happened
    that is worth an event (a trial that goes on).
    """

    rollout: Rollout | None
    kind: EventKind | None
    note: Note
    version: int | None = None
    from_version: int | None = None

    def event(self, sequence: int, at: datetime, uid: str | None = None) -> Event | None:
        """The event to record, if any."""
        if self.kind is None:
            return None
        return Event(
            sequence=sequence,
            at=at,
            kind=self.kind,
            reason=self.note.reason,
            message=self.note.message,
            version=self.version,
            from_version=self.from_version,
            uid=uid,
        )
