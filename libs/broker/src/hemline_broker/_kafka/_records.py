"""A message as a Kafka record, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Message as Record

from hemline_broker._attributes import from_attributes, to_attributes
from hemline_broker._message import Message

PREFIX = "ce_"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def headers_of(message: Message) -> dict[str, str | bytes | None]:
    """Record headers; text that came as illegal UTF-8 goes out as the same bytes."""
    return {
        name: value if value.isascii() else value.encode("utf-8", "surrogateescape")
        for name, value in to_attributes(message, PREFIX).items()
    }


def key_of(message: Message) -> bytes | None:
    """Record key."""
    return None if message.key is None else message.key.encode("utf-8", "surrogateescape")


def message_of(record: Record, prefix: str) -> Message:
    """A message from a record; `prefix` is `topic/partition/`."""
    key = record.key()
    # Typed as what may be sent; what is received is always a list of (str, bytes or None), or None.
    headers: Any = record.headers() or ()

    def fallback() -> tuple[str, datetime]:
        received = _EPOCH + timedelta(milliseconds=max(record.timestamp()[1], 0))
        return f"{prefix}{record.offset()}", received

    return from_attributes(
        record.value() or b"",
        None if key is None else _text(key),
        [
            (name, value.decode("utf-8", "surrogateescape"))
            for name, value in headers
            if value is not None
        ],
        PREFIX,
        fallback,
    )


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
