"""From messages to rows of the lake; what is no image, label or prediction is refused with a reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from hemline_api import BadEvent
from hemline_api.events import GROUP_EXTENSION, IMAGE_CONTENT_TYPES, Label, Prediction
from hemline_broker import Message
from hemline_store import BadRow
from hemline_store.tables import ImageRow, LabelRow, PredictionRow

__all__ = ["REFUSALS", "Refused", "image_row", "label_row", "prediction_row"]

REFUSALS: Final = ("no-image", "malformed", "bad-id")
"""Why a message is refused."""

_MAX_ID: Final = 1024
_SIGNATURES: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"\x93NUMPY": "application/x-npy",
}


class Refused(ValueError):
    """A message that the lake does not take: ``reason`` is one of ``REFUSALS``, the text says more."""

    def __init__(self, reason: str, text: str) -> None:
        """Keep both."""
        super().__init__(text)
        self.reason = reason


def image_row(message: Message, received_at: datetime) -> ImageRow:
    """The row of an image.

    The bytes are not decoded here: inference does that with the same message. A glance at how they begin keeps out
    what is no image at all.

    Raises:
        Refused: no id that could be kept, or bytes that begin like no accepted image.
    """
    _check_id(message.id)
    content_type = _content_type(message.data)
    if content_type is None:
        raise Refused(
            "no-image",
            f"image {message.id[:100]!r} begins with {message.data[:8]!r}; expected one of "
            f"{', '.join(IMAGE_CONTENT_TYPES)}",
        )
    group = message.extensions.get(GROUP_EXTENSION) or None
    if group is not None:
        _check_id(group)
    with _refusing():
        return ImageRow(
            id=message.id,
            group=group,
            data=message.data,
            content_type=content_type,
            origin="stream",
            split=None,
            received_at=received_at,
        )


def label_row(message: Message, received_at: datetime) -> LabelRow:
    """The row of a label; the CloudEvents time and id decide later which of several labels holds.

    Raises:
        Refused: no label.
    """
    _check_id(message.id)
    with _refusing():
        label = Label.from_json(message.data)
        return LabelRow(
            id=label.id,
            label=label.label if isinstance(label.label, int) else None,
            label_name=label.label if isinstance(label.label, str) else None,
            retracted=label.label is None,
            time=message.time,
            event_id=message.id,
            source=label.source,
            received_at=received_at,
        )


def prediction_row(message: Message, received_at: datetime) -> PredictionRow:
    """The row of a prediction.

    Raises:
        Refused: no prediction.
    """
    _check_id(message.id)
    with _refusing():
        answer = Prediction.from_json(message.data)
        return PredictionRow(
            id=answer.id,
            label=answer.label,
            label_name=answer.label_name,
            confidence=answer.confidence,
            probabilities=answer.probabilities,
            model_version=answer.model_version,
            received_at=answer.received_at,
            predicted_at=answer.predicted_at,
            event_id=message.id,
        )


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (BadEvent, BadRow) as error:
        raise Refused("malformed", str(error)) from error


def _check_id(text: str) -> None:
    if not 0 < len(text) <= _MAX_ID:
        raise Refused("bad-id", f"an id of {len(text):,} characters; expected 1 to {_MAX_ID:,}")


def _content_type(data: bytes) -> str | None:
    for signature, content_type in _SIGNATURES.items():
        if data.startswith(signature):
            return content_type
    # RIFF holds sound and video as well: its kind stands behind the length.
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
