"""The message: a CloudEvent with a key and raw bytes."""

from __future__ import annotations

import os
import re
import time as _time
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime

from hemline_broker._errors import InvalidMessage, TooLarge

DEFAULT_MAX_MESSAGE_BYTES = 15_728_640
RESERVE_BYTES = (
    1024  # for what a dead letter adds, so that a message of any legal size can become one
)

_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}\Z")
_HEADER_NAME = re.compile(r"[!-~]{1,256}\Z")
_RESERVED = frozenset(
    ("id", "source", "specversion", "type", "time", "datacontenttype", "data", "partitionkey")
)
# A body this far below the limit needs no exact count when nothing else can be large.
_CLEARLY_SMALL = 64 * 1024


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): sorts by time of creation."""
    milliseconds = (_time.time_ns() // 1_000_000) & 0xFFFF_FFFF_FFFF
    random = int.from_bytes(os.urandom(10))
    value = (
        (milliseconds << 80)
        | (0x7 << 76)
        | ((random >> 68) << 64)
        | (0b10 << 62)
        | (random & 0x3FFF_FFFF_FFFF_FFFF)
    )
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One CloudEvent. Its id survives retry, dead letter and redelivery.

    Attributes:
        data: the body, carried as it is.
        key: messages of one key keep their order on a topic that keeps order; None for no key.
        id: CloudEvents id. On receive, a message without one gets its key, else `topic/partition/offset`.
        type: CloudEvents type.
        source: CloudEvents source, a URI reference.
        time: when the event happened, with a time zone; microseconds are kept.
        content_type: media type of `data`.
        extensions: CloudEvents extension attributes: names of a-z and 0-9, at most 20 characters.
        headers: other headers, unique names of visible ASCII without the prefixes `ce_` and `ce-`.
    """

    data: bytes
    _: KW_ONLY
    key: str | None = None
    id: str = field(default_factory=new_id)
    type: str = "message"
    source: str = "hemline-broker"
    time: datetime = field(default_factory=_now)
    content_type: str | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded_size(self) -> int:
        """Bytes of key, attributes, headers and body in CloudEvents binary mode, without the reserve."""
        attributes = (
            len("ce_specversion1.0ce_idce_sourcece_typece_time2026-01-01T00:00:00.000000Z")
            + _length(self.id)
            + _length(self.source)
            + _length(self.type)
        )
        if self.content_type is not None:
            attributes += len("content-type") + _length(self.content_type)
        if self.key is not None:
            attributes += _length(self.key)
        for name, value in self.extensions.items():
            attributes += len("ce_") + _length(name) + _length(value)
        for name, value in self.headers.items():
            attributes += _length(name) + _length(value)
        return attributes + len(self.data)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a message is durable.

    Attributes:
        id: the message's id.
        position: where it lies: `topic/partition/offset`, or the server's message id.
    """

    id: str
    position: str


def check(message: Message, limit: int) -> None:
    """Refuse what no backend may carry, before any I/O.

    Raises:
        TooLarge: key + headers + body + 1 KiB is above `limit`.
        InvalidMessage: a field breaks a rule.
    """
    data = message.data
    if not isinstance(data, bytes):
        raise InvalidMessage(f"data must be bytes, got {type(data).__name__}")
    if not message.id or not message.type or not message.source:
        raise InvalidMessage(
            f"id, type and source must not be empty, got id={message.id!r}, type={message.type!r}, "
            f"source={message.source!r}"
        )
    if message.time.tzinfo is None:
        raise InvalidMessage("time has no time zone; use datetime.now(timezone.utc)")
    for name, value in message.extensions.items():
        if not _EXTENSION_NAME.match(name) or name in _RESERVED:
            raise InvalidMessage(
                f"extension {name!r} is not allowed: names are a-z and 0-9, at most 20 characters, not an attribute"
            )
        _text(name, value)
    for name, value in message.headers.items():
        if not _HEADER_NAME.match(name) or name.lower().startswith(("ce_", "ce-", "goog")):
            raise InvalidMessage(
                f"header {name!r} is not allowed: visible ASCII, not starting with ce_, ce- or goog"
            )
        if name.lower() == "content-type":
            raise InvalidMessage("set content_type instead of a header of that name")
        _text(name, value)
    key = message.key
    if (
        len(data) + _CLEARLY_SMALL <= limit
        and not message.extensions
        and not message.headers
        and len(message.id) + (len(key) if key else 0) < 2048
    ):
        return
    size = message.encoded_size() + RESERVE_BYTES
    if size > limit:
        raise TooLarge(
            f"message {message.id[:100]!r} needs {size:,} bytes (body {len(data):,}, attributes, 1 KiB reserve); "
            f"the limit is {limit:,}: send a smaller body, or raise max_message_bytes"
        )


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidMessage(f"{name!r} must be text, got {type(value).__name__}")


def _length(text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidMessage(f"not valid Unicode: {text[:50]!r} ({error.reason})") from error
