"""What a driver keeps: one small document from which everything else can be made again."""

from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from hemline_api.report import SnapshotRef
from hemline_api.rollout import Rollout
from hemline_operator.lifecycle._canary import CanaryMemory
from hemline_operator.lifecycle._errors import BadState
from hemline_operator.lifecycle._words import Event

__all__ = ["Attempt", "FineTune", "State"]


class _Stored(BaseModel):
    # a misspelt or newer field must not be dropped in silence when the document is written again
    model_config = ConfigDict(frozen=True, extra="forbid")


class FineTune(_Stored):
    """A run that has begun and not ended."""

    uid: str = Field(min_length=1)
    number: int = Field(ge=1)
    base_version: int = Field(ge=1, description="The version it starts from and is judged against.")
    fresh: int = Field(ge=0, description="New labelled samples when it became due.")
    created_at: AwareDatetime
    snapshot: SnapshotRef | None = Field(
        default=None, description="What it reads; None: not taken yet, so no trainer was started."
    )
    starts: int = Field(default=0, ge=0, description="Trainers started, counted before each start.")
    started_at: AwareDatetime | None = None
    down_since: AwareDatetime | None = Field(
        default=None, description="When the last trainer was first seen to have ended."
    )


class Attempt(_Stored):
    """A run that has ended, however."""

    uid: str = Field(min_length=1)
    number: int = Field(ge=1)
    base_version: int = Field(ge=1)
    snapshot: SnapshotRef | None = None
    starts: int = Field(default=0, ge=0)
    ended_at: AwareDatetime
    outcome: str = Field(description="A verdict, or why it was given up.")
    version: int | None = Field(default=None, description="The version it published.")


class State(_Stored):
    """All that one classifier's lifecycle must remember. Written whole, before anything that follows from it is done.

    ``rollout`` is the document in force: a driver makes the file or ConfigMap equal to it. ``outbox`` holds the
    events of the last transition, which the driver adds to its log unless their sequence numbers are there.
    """

    classifier: str
    rollout: Rollout
    previous: int | None = Field(default=None, description="The stable version before this one.")
    pin: int | None = Field(default=None, description="The pin followed so far.")
    refused_pin: int | None = Field(default=None, description="A pin that was answered with no.")
    canary: CanaryMemory | None = None
    created: int = Field(default=0, ge=0, description="Fine-tunes begun so far.")
    active: FineTune | None = None
    last: Attempt | None = None
    ended: int = Field(default=0, ge=0)
    promoted: int = Field(default=0, ge=0)
    sequence: int = Field(default=0, ge=0, description="Sequence number of the last event.")
    outbox: tuple[Event, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rollout.canary is None and self.canary is not None:
            raise ValueError("a canary is remembered, but the rollout document has none")
        if self.active and self.active.number != self.created:
            raise ValueError("the active fine-tune is not the last one that was begun")
        return self

    @property
    def since(self) -> SnapshotRef | None:
        """Samples labelled after this are new: the snapshot of the last attempt that had one; None: all are new."""
        if self.active and self.active.snapshot:
            return self.active.snapshot
        return self.last.snapshot if self.last else None

    def to_json(self) -> bytes:
        """The document as it is stored."""
        return self.model_dump_json(exclude_none=True, by_alias=True, indent=2).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            BadState: it is no JSON, misses a field, has one too many, or contradicts itself.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in problem["loc"]) or "document"
            raise BadState(f"no lifecycle state: {where}: {problem['msg']}") from error
