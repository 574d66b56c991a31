"""What can happen to the stream, as the books see it. Times are Unix seconds (UTC).

The journal holds these and nothing else: the books are what follows from them.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "Answered",
    "Ended",
    "Event",
    "Labelled",
    "Planned",
    "Refused",
    "Resumed",
    "Sent",
    "Stray",
    "StrayKind",
]


@dataclass(frozen=True, slots=True)
class Planned:
    """Image ``n`` is about to be sent, or about to be sent again because nobody knows whether it was."""

    n: int
    at: float
    index: int  # in the test split
    label: int  # what it shows
    told: (
        int | None
    )  # the label that will be sent: another one under label noise, None when there is none
    phase: int
    corrupt: bool
    label_at: float


@dataclass(frozen=True, slots=True)
class Sent:
    """The broker has image ``n`` durably."""

    n: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A prediction for image ``n`` was read: the first one counts, others are raw repeats."""

    n: int
    at: float
    label: int
    version: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Image ``n`` was found on the dead-letter topic."""

    n: int
    at: float


@dataclass(frozen=True, slots=True)
class Labelled:
    """The broker has the label of image ``n`` durably."""

    n: int


class StrayKind(StrEnum):
    """Answers that belong to no image of this run."""

    FOREIGN = "foreign"
    """Another client's image: none of our business."""
    UNKNOWN = "unknown"
    """It carries this run's name, yet no such image was sent."""
    MALFORMED = "malformed"
    """It is no prediction."""


@dataclass(frozen=True, slots=True)
class Stray:
    """An answer that belongs to no image of this run."""

    kind: StrayKind


@dataclass(frozen=True, slots=True)
class Ended:
    """No more images will be sent."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The run goes on after its process was gone."""

    at: float


Event = Planned | Sent | Answered | Refused | Labelled | Stray | Ended | Resumed
