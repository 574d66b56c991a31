"""CloudEvents: a message as attributes with a prefix (binary mode), and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timezone

from hemline_broker._message import Message
from hemline_broker._structured import is_structured, parse

_UTC = timezone.utc  # noqa: UP017 - compared by identity below
CONTENT_TYPE = "content-type"

_Pairs = Iterable[tuple[str, str]]
_Fallback = Callable[[], tuple[str, datetime]]


def to_attributes(message: Message, prefix: str) -> dict[str, str]:
    """Every attribute and header but the key; `prefix` is `ce_` on Kafka and `ce-` on Pub/Sub."""
    attributes = {
        prefix + "specversion": "1.0",
        prefix + "id": message.id,
        prefix + "source": message.source,
        prefix + "type": message.type,
        prefix + "time": message.time_text(),
    }
    if message.content_type is not None:
        attributes[CONTENT_TYPE] = message.content_type
    for name, value in message.extensions.items():
        attributes[prefix + name] = value
    if message.headers:
        attributes.update(message.headers)
    return attributes


def from_attributes(
    data: bytes,
    key: str | None,
    attributes: _Pairs,
    prefix: str,
    fallback: _Fallback,
) -> Message:
    """A message from what came, in binary or structured mode; what a sender without CloudEvents left out is filled in.

    Args:
        data: the body.
        key: the key, if there was one.
        attributes: names and values; of a name that comes twice the last counts.
        prefix: as in `to_attributes`.
        fallback: gives the id of a message that has neither id nor key, and the time of one without a legal time.
    """
    message = _message(data, key, attributes, prefix, fallback)
    if not is_structured(message.content_type):
        return message
    event = parse(message.content_type, data)
    if event is None:
        return message
    within = [(prefix + name, value) for name, value in event.attributes.items()]
    if event.content_type is not None:
        within.append((CONTENT_TYPE, event.content_type))
    # What stands beside the event is a part of the message, though not of the event.
    return _message(event.data, key, (*message.headers.items(), *within), prefix, fallback)


def _message(
    data: bytes, key: str | None, attributes: _Pairs, prefix: str, fallback: _Fallback
) -> Message:
    identity = kind = source = content_type = None
    time: datetime | None = None
    extensions: dict[str, str] = {}
    headers: dict[str, str] = {}
    cut = len(prefix)
    for full_name, value in attributes:
        if full_name.startswith(prefix):
            name = full_name[cut:]
            if name == "id":
                identity = value
            elif name == "type":
                kind = value
            elif name == "source":
                source = value
            elif name == "time":
                time = parse_time(value)
            elif name == "partitionkey":
                key = key or value  # how the SDKs carry the key beside the record's own
            elif name != "specversion":
                extensions[name] = value
        elif full_name == CONTENT_TYPE:
            content_type = value
        else:
            headers[full_name] = value
    return Message(
        data,
        key=key,
        id=identity or key or fallback()[0],
        type=kind or "message",
        source=source or "unknown",
        time=time or fallback()[1],
        content_type=content_type,
        extensions=extensions,
        headers=headers,
    )


def parse_time(text: str) -> datetime | None:
    """RFC 3339 to UTC, None if it is something else."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    if time.tzinfo is None:
        return None
    return time if time.tzinfo is _UTC else time.astimezone(_UTC)
