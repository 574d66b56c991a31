"""Rows of the three tables, checked where they are made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from hemline_store._errors import BadRow

__all__ = ["ImageRow", "ImportItem", "LabelRow", "Origin", "PredictionRow"]

Origin = Literal["stream", "import"]

_MAX_ID: Final = 1024
_INT32: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An encoded image as it arrived.

    ``group`` names the picture that several images were made from; with it (else with the id) the image's split is
    fixed for good. ``split`` is given for an official test set alone.
    """

    id: str
    data: bytes
    content_type: str
    received_at: datetime
    origin: Origin = "stream"
    group: str | None = None
    split: Literal["test"] | None = None

    def __post_init__(self) -> None:
        """Refuse what no table can hold."""
        _check_id("image", self.id)
        _check_time("received_at", self.received_at, self.id)
        if not isinstance(self.data, bytes) or not self.data:
            raise BadRow(f"image {self.id!r} has no bytes; expected those of an encoded image")
        if self.group is not None:
            _check_text("group", self.group)
        if self.origin not in ("stream", "import"):
            raise BadRow(f"image {self.id!r} has origin {self.origin!r}; expected stream or import")
        if self.split not in (None, "test"):
            raise BadRow(
                f"image {self.id!r} has split {self.split!r}; train and validation are fixed by a hash, only test "
                "is given"
            )


@dataclass(frozen=True, slots=True)
class LabelRow:
    """What an image really shows, as an index or as a name; ``retracted`` takes an earlier label back.

    Of several labels the one with the greatest ``time`` holds, then the one with the greater ``event_id``.
    """

    id: str
    label: int | None
    label_name: str | None
    time: datetime
    event_id: str
    received_at: datetime
    retracted: bool = False
    source: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no table can hold."""
        _check_id("label", self.id)
        _check_time("time", self.time, self.id)
        _check_time("received_at", self.received_at, self.id)
        named = (self.label is not None) + (self.label_name is not None)
        if named != (0 if self.retracted else 1):
            raise BadRow(
                f"label of {self.id!r} has index {self.label!r} and name {self.label_name!r}; expected one of them, "
                "or neither when it is retracted"
            )
        if self.label is not None and not 0 <= self.label < _INT32:
            raise BadRow(f"label of {self.id!r} is {self.label}; expected an index from 0")


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """An answer of one model version."""

    id: str
    label: int
    label_name: str
    confidence: float
    model_version: int
    received_at: datetime
    predicted_at: datetime
    event_id: str
    probabilities: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Refuse what no table can hold."""
        _check_id("prediction", self.id)
        _check_time("received_at", self.received_at, self.id)
        _check_time("predicted_at", self.predicted_at, self.id)
        if not 0 <= self.label < _INT32 or not 1 <= self.model_version < _INT32:
            raise BadRow(
                f"prediction for {self.id!r} has label {self.label} and version {self.model_version}; expected an "
                "index from 0 and a version from 1"
            )


@dataclass(frozen=True, slots=True)
class ImportItem:
    """An image of a data set with its class index; ``split`` is ``test`` for an official test set, else None."""

    id: str
    data: bytes
    content_type: str
    label: int
    group: str | None = None
    split: Literal["test"] | None = None


def _check_id(what: str, value: str) -> None:
    if not isinstance(value, str) or not 1 <= len(value) <= _MAX_ID:
        raise BadRow(f"{what} has the id {value!r:.80}; expected 1 to {_MAX_ID} characters")
    _check_text(f"{what} id", value)


def _check_text(what: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRow(f"{what} {value!r:.80} is no text that UTF-8 can hold") from error


def _check_time(what: str, value: datetime, row: str) -> None:
    if value.tzinfo is None:
        raise BadRow(f"{what} of {row!r} is {value.isoformat()}; expected a time with its zone")
