"""CloudEvents structured mode: a whole event as JSON in the body. Read here, never written.

Senders that use it say so by the content type `application/cloudevents+json`. What the event says of itself is what
counts, also where headers beside it say something else. Whatever is not the event that it says it is stays what it was:
a body with a content type. The JSON is UTF-8, with or without a byte order mark, as RFC 8259 has it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

__all__ = ["MEDIA_TYPE", "Event", "announces_event", "is_structured", "parse"]

MEDIA_TYPE = "application/cloudevents"
_FORMAT = f"{MEDIA_TYPE}+json"
_REQUIRED = ("id", "source", "type", "specversion")
_JSON = "application/json"


class Event(NamedTuple):
    """What a structured message says.

    Attributes:
        attributes: CloudEvents attributes as text, `datacontenttype` not among them.
        content_type: of the data; None where there is none.
        data: the body that a binary-mode message of the same event has.
    """

    attributes: Mapping[str, str]
    content_type: str | None
    data: bytes


@lru_cache(maxsize=64)  # a stream has few content types
def is_structured(content_type: str | None) -> bool:
    """Whether a content type announces a structured event; a cheap look that most messages end with."""
    return content_type is not None and content_type[: len(MEDIA_TYPE)].lower() == MEDIA_TYPE


def announces_event(content_type: str | None) -> bool:
    """Whether a body of that content type is read as an event; not a batch of them, nor a format nobody here reads."""
    return (
        content_type is not None
        and is_structured(content_type)
        and content_type.partition(";")[0].strip().lower() == _FORMAT
    )


def parse(content_type: str | None, body: bytes) -> Event | None:
    """The event of a body with that content type; None where it is none."""
    if not announces_event(content_type):
        return None
    try:
        event = json.loads(body.decode("utf-8-sig"))
        return _event(event) if isinstance(event, dict) else None
    except (ValueError, TypeError, RecursionError):  # not JSON, or base64 that is none
        return None


def _event(event: dict[str, Any]) -> Event | None:
    if any(not isinstance(event.get(name), str) for name in _REQUIRED):
        return None
    if not event["specversion"].startswith("1."):
        return None  # before 1.0 the same names meant something else
    encoded, data = event.pop("data_base64", None), event.pop("data", None)
    content_type = event.pop("datacontenttype", None)
    if not isinstance(content_type, str | None):
        return None
    if encoded is not None:
        body = base64.b64decode(encoded, validate=True)
    elif data is None:
        body = b""
    else:
        content_type = content_type or _JSON  # what the JSON format says of data without a type
        body = _bytes_of(data, content_type)
    attributes = {name: _text(value) for name, value in event.items() if value is not None}
    # Its parts must be able to go on as headers: text that is no Unicode can not.
    "".join((content_type or "", *attributes.values())).encode()
    return Event(attributes, content_type, body)


def _bytes_of(data: Any, content_type: str) -> bytes:
    kind = content_type.partition(";")[0].strip().lower()
    if isinstance(data, str) and not kind.endswith(("/json", "+json")):
        return data.encode()
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _text(value: Any) -> str:
    """An attribute as CloudEvents writes it in a header."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise TypeError(f"an attribute is text, a number or a truth value, not {type(value).__name__}")
