"""A message as a Pub/Sub message, and back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.pubsub_v1 import types

from hemline_broker._attributes import from_attributes, to_attributes
from hemline_broker._errors import BrokerError, InvalidMessage, TooLarge
from hemline_broker._message import Message

PREFIX = "ce-"
_KEY = PREFIX + "partitionkey"

# Pub/Sub's limits. A request may have 10,000,000 bytes; some are kept for the names around the messages.
MAX_REQUEST_BYTES = 9_990_000
MAX_REQUEST_MESSAGES = 1000
_MAX_ATTRIBUTES = 100
_MAX_NAME_BYTES = 256
_MAX_VALUE_BYTES = 1024
# The three attributes that a dead letter adds must find room.
_DEAD_LETTER_ATTRIBUTES = 3

# The protocol's plain classes: the wrappers that Google's client puts around them cost more than all else here.
PubsubMessage: Any = types.PubsubMessage.pb()


def encode(message: Message, ordered: bool) -> Any | BrokerError:
    """A message for a publish request, or why there can be none.

    Args:
        message: the message.
        ordered: its key becomes the ordering key; a key is carried as an attribute in any case.
    """
    attributes = to_attributes(message, PREFIX)
    key = message.key
    if key is not None:
        attributes[_KEY] = key
    problem = _refused(attributes)
    if problem:
        return InvalidMessage(f"message {message.id[:100]!r}: {problem}")
    try:
        encoded = PubsubMessage(
            data=message.data,
            attributes=attributes,
            ordering_key=key if ordered and key is not None else "",
        )
    except (UnicodeEncodeError, ValueError, TypeError) as error:
        return InvalidMessage(f"message {message.id[:100]!r}: {error}")
    size = encoded.ByteSize()
    if size > MAX_REQUEST_BYTES:
        return TooLarge(
            f"message {message.id[:100]!r} needs {size:,} bytes and Pub/Sub carries {MAX_REQUEST_BYTES:,}: let large "
            "bodies travel through an object store with connect(…, claim_check='gs://bucket/prefix')"
        )
    return encoded


def _refused(attributes: dict[str, str]) -> str | None:
    room = _MAX_ATTRIBUTES
    if PREFIX + "deadreason" not in attributes:
        room -= _DEAD_LETTER_ATTRIBUTES
    if len(attributes) > room:
        return f"{len(attributes)} attributes and headers; Pub/Sub carries {room}"
    for name, value in attributes.items():
        # A character has at most 4 bytes: short text needs no exact count.
        if len(value) * 4 > _MAX_VALUE_BYTES and _length(value) > _MAX_VALUE_BYTES:
            return (
                f"{name} has {_length(value):,} bytes; Pub/Sub carries {_MAX_VALUE_BYTES:,} in an attribute, "
                "so put it into the body"
            )
        if len(name) > _MAX_NAME_BYTES:
            return f"the name {name[:50]!r}… has more than {_MAX_NAME_BYTES} bytes"
    return None


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def decode(received: Any) -> Message:
    """A message from a `PubsubMessage`."""

    def fallback() -> tuple[str, datetime]:
        published = received.publish_time
        return received.message_id, published.ToDatetime(tzinfo=UTC)

    return from_attributes(
        received.data,
        received.ordering_key or None,
        received.attributes.items(),
        PREFIX,
        fallback,
    )
