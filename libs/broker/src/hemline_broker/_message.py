"""The message: a CloudEvent with a key and raw bytes."""

from __future__ import annotations

import itertools
import os
import random
import re
import time as _time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, overload

from hemline_broker._errors import InvalidMessage, TooLarge
from hemline_broker._structured import announces_event, is_structured

DEFAULT_MAX_MESSAGE_BYTES = 15_728_640
RESERVE_BYTES = (
    1024  # for what a dead letter adds, so that a message of any legal size can become one
)

_EXTENSION_NAME = re.compile(r"[a-z0-9]{1,20}\Z")
_HEADER_NAME = re.compile(r"[!-~]{1,256}\Z")
# What a claim check adds beside `dataref`: checksum and size of the body.
CLAIM_FIELDS = ("datarefsha256", "datarefsize")
_RESERVED = frozenset(
    (
        "id",
        "source",
        "specversion",
        "type",
        "time",
        "datacontenttype",
        "data",
        "partitionkey",
        *CLAIM_FIELDS,
    )
)
# A body this far below the limit needs no exact count when no attribute is longer than that.
_SHORT = 2048
_CLEARLY_SMALL = 64 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EMPTY: Mapping[str, str] = MappingProxyType({})


class _Ids:
    """UUIDs of version 7 (RFC 9562): they sort by creation, those of one process within a millisecond as well.

    What tells processes apart is random; what tells messages of one process apart counts up from a random number. A
    random number for each message would cost as much as the rest of it.
    """

    __slots__ = ("_count", "_millisecond", "_process")

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: a forked child would repeat its parent's."""
        bits = random.SystemRandom().getrandbits
        self._process = f"7{bits(12):03x}-{0x8000 | bits(14):04x}-"
        self._count = itertools.count(bits(47))
        # One attribute, so that threads see a time and its text together.
        self._millisecond = (-1, "")

    def at(self, nanoseconds: int) -> str:
        """A new one for this time."""
        time = nanoseconds // 1_000_000
        known, front = self._millisecond
        if time != known:
            text = f"{time:012x}"
            front = f"{text[:8]}-{text[8:]}-{self._process}"
            self._millisecond = (time, front)
        return f"{front}{next(self._count):012x}"


_IDS = _Ids()
os.register_at_fork(after_in_child=_IDS.renew)


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): sorts by time of creation."""
    return _IDS.at(_time.time_ns())


class Message:
    """One CloudEvent: immutable. Its id survives retry, dead letter and redelivery.

    Attributes:
        data: the body, carried as it is.
        key: messages of one key keep their order on a topic that keeps order; None for no key.
        id: CloudEvents id, a new UUID unless given. On receive, a message without one gets its key, else
            `topic/partition/offset`.
        type: CloudEvents type.
        source: CloudEvents source, a URI reference.
        time: when the event happened, with a time zone, now unless given; microseconds are kept.
        content_type: media type of `data`; not `application/cloudevents+json`, by which whole events are told.
        extensions: CloudEvents extension attributes: names of a-z and 0-9, at most 20 characters.
        headers: other headers, unique names of visible ASCII without the prefixes `ce_` and `ce-`.
    """

    # Written by hand, not a frozen dataclass: a stream makes one for each message, and this costs a third.
    __slots__ = (
        "_born", "_content_type", "_data", "_extensions", "_headers", "_id", "_key", "_source", "_time", "_type",
    )  # fmt: skip

    def __init__(
        self,
        data: bytes,
        *,
        key: str | None = None,
        id: str | None = None,
        type: str = "message",
        source: str = "hemline-broker",
        time: datetime | None = None,
        content_type: str | None = None,
        extensions: Mapping[str, str] = _EMPTY,
        headers: Mapping[str, str] = _EMPTY,
    ) -> None:
        self._data = data
        self._key = key
        # Nanoseconds, until somebody asks for the time.
        self._born = now = _time.time_ns()
        self._id = _IDS.at(now) if id is None else id
        self._type = type
        self._source = source
        self._time = time
        self._content_type = content_type
        self._extensions = extensions
        self._headers = headers

    @property
    def data(self) -> bytes:
        """The body."""
        return self._data

    @property
    def key(self) -> str | None:
        """The key."""
        return self._key

    @property
    def id(self) -> str:
        """CloudEvents id."""
        return self._id

    @property
    def type(self) -> str:
        """CloudEvents type."""
        return self._type

    @property
    def source(self) -> str:
        """CloudEvents source."""
        return self._source

    @property
    def time(self) -> datetime:
        """When the event happened."""
        time = self._time
        if time is None:
            time = self._time = _EPOCH + timedelta(microseconds=self._born // 1000)
        return time

    @property
    def content_type(self) -> str | None:
        """Media type of the body."""
        return self._content_type

    @property
    def extensions(self) -> Mapping[str, str]:
        """CloudEvents extension attributes."""
        return self._extensions

    @property
    def headers(self) -> Mapping[str, str]:
        """Other headers."""
        return self._headers

    def replace(self, **changes: Any) -> Message:
        """The same message but for some attributes, the id kept unless it is one of them."""
        return Message(**{**{name: getattr(self, name) for name in _FIELDS}, **changes})

    __replace__ = replace

    def time_text(self) -> str:
        """The time as RFC 3339 with microseconds, without making a datetime of it."""
        time = self._time
        if time is None:
            seconds, rest = divmod(self._born, 1_000_000_000)
            return "%s.%06d+00:00" % (_second(seconds), rest // 1000)  # noqa: UP031 - the fastest
        return time.isoformat()

    def encoded_size(self) -> int:
        """Bytes of key, attributes, headers and body in CloudEvents binary mode, without the reserve."""
        attributes = (
            len("ce_specversion1.0ce_idce_sourcece_typece_time2026-01-01T00:00:00.000000+00:00")
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

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    __hash__ = None  # type: ignore[assignment] # extensions and headers are mappings

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in _FIELDS}
        fields["extensions"], fields["headers"] = dict(self.extensions), dict(self.headers)
        return _rebuilt, (fields,)

    def __repr__(self) -> str:
        shown = repr(self.data) if len(self.data) <= 64 else f"<{len(self.data):,} bytes>"
        rest = (
            f"{name}={getattr(self, name)!r}"
            for name in _FIELDS[1:]
            if getattr(self, name) not in (None, {})
        )
        return f"Message({', '.join((shown, *rest))})"


_FIELDS = (
    "data", "key", "id", "type", "source", "time", "content_type", "extensions", "headers",
)  # fmt: skip


def _rebuilt(fields: Mapping[str, Any]) -> Message:
    return Message(**fields)


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a message is durable.

    Attributes:
        id: the message's id.
        position: where it lies: `topic/partition/offset`, or the server's message id.
    """

    id: str
    position: str


class Receipts(Sequence[Receipt]):
    """Receipts that are made when somebody looks: most senders only want to know that all went well.

    Args:
        topic: where they lie.
        ids: of the messages.
        partitions: of each.
        offsets: of each.
    """

    __slots__ = ("_ids", "_offsets", "_partitions", "_topic")

    def __init__(
        self, topic: str, ids: Sequence[str], partitions: Sequence[int], offsets: Sequence[int]
    ) -> None:
        self._topic = topic
        self._ids = ids
        self._partitions = partitions
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Receipt]:
        return map(self._receipt, range(len(self._ids)))

    @overload
    def __getitem__(self, index: int) -> Receipt: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Receipt]: ...
    def __getitem__(self, index: int | slice) -> Receipt | Sequence[Receipt]:
        if isinstance(index, slice):
            return Receipts(
                self._topic, self._ids[index], self._partitions[index], self._offsets[index]
            )
        return self._receipt(index)

    def _receipt(self, index: int) -> Receipt:
        position = f"{self._topic}/{self._partitions[index]}/{self._offsets[index]}"
        return Receipt(self._ids[index], position)

    def __repr__(self) -> str:
        return f"<{len(self)} receipts of {self._topic!r}>"


def check(message: Message, limit: int) -> None:
    """Refuse what no backend may carry, before any I/O.

    Raises:
        TooLarge: key + headers + body + 1 KiB is above `limit`.
        InvalidMessage: a field breaks a rule.
    """
    if is_plain(message, limit):
        return
    if not isinstance(message, Message):
        raise InvalidMessage(f"expected a Message, got {_kind(message)}: write Message(b'...')")
    data = message.data
    if not isinstance(data, bytes):
        raise InvalidMessage(
            f"data must be bytes, got {_kind(data)}: write text.encode() or bytes(data)"
        )
    for name in ("id", "type", "source"):
        _text(name, getattr(message, name))
        if not getattr(message, name):
            raise InvalidMessage(f"{name} must not be empty: leave it out or give it some text")
    for name in ("key", "content_type"):
        if getattr(message, name) is not None:
            _text(name, getattr(message, name))
    if announces_event(message.content_type):
        raise InvalidMessage(
            f"content type {message.content_type!r:.100} announces a whole event in structured mode, which readers "
            "open: send its data and attributes as a Message, or give it another content type, such as application/json"
        )
    if not isinstance(message.time, datetime):
        raise InvalidMessage(
            f"time must be a datetime with a time zone, got {_kind(message.time)}: "
            "write datetime.now(timezone.utc), or leave it out"
        )
    if message.time.tzinfo is None:
        raise InvalidMessage("time has no time zone: write datetime.now(timezone.utc)")
    for name, value in _pairs("extensions", message.extensions):
        if not _EXTENSION_NAME.match(name) or name in _RESERVED:
            raise InvalidMessage(
                f"extension {name[:100]!r} is not allowed: names are a-z and 0-9, at most 20 characters, and no "
                "attribute of their own"
            )
        _text(f"extension {name}", value)
    for name, value in _pairs("headers", message.headers):
        if not _HEADER_NAME.match(name) or name.lower().startswith(("ce_", "ce-", "goog")):
            raise InvalidMessage(
                f"header {name[:100]!r} is not allowed: visible ASCII, not starting with ce_, ce- or goog"
            )
        if name.lower() == "content-type":
            raise InvalidMessage("set content_type instead of a header of that name")
        _text(f"header {name}", value)
    size = message.encoded_size() + RESERVE_BYTES
    if size > limit:
        raise TooLarge(
            f"message {message.id[:100]!r} needs {size:,} bytes (body {len(data):,}, attributes, 1 KiB reserve); "
            f"the limit is {limit:,}: send a smaller body, or raise max_message_bytes"
        )


def is_plain(message: Message, limit: int) -> bool:
    """Whether a look at a few fields shows that nothing can be wrong: true of most messages of a stream."""
    if type(message) is not Message:
        return False
    id, type_, source = message._id, message._type, message._source
    key, content_type = message._key, message._content_type
    try:
        # Joined, their kind, length and characters are looked at once instead of three times.
        text = id + type_ + source
    except TypeError:
        return False
    return bool(
        type(text) is str
        and text.isascii()
        and len(text) < _SHORT
        and id
        and type_
        and source
        and type(message._data) is bytes
        and message._time is None
        and message._extensions is _EMPTY
        and message._headers is _EMPTY
        and (key is None or (type(key) is str and key.isascii() and len(key) < _SHORT))
        and (
            content_type is None
            or (
                type(content_type) is str
                and content_type.isascii()
                and len(content_type) < _SHORT
                and not is_structured(content_type)
            )
        )
        and len(message._data) + _CLEARLY_SMALL <= limit
    )


def _pairs(what: str, given: object) -> Iterator[tuple[str, object]]:
    """Names and values of headers or extensions, once it is sure that they have names."""
    if not isinstance(given, Mapping):
        raise InvalidMessage(
            f"{what} must map names to text, such as {{'name': 'text'}}; got {_kind(given)}"
        )
    for name, value in given.items():
        if not isinstance(name, str):
            raise InvalidMessage(
                f"names of {what} must be text (str), got {_kind(name)}: {name!r:.100}"
            )
        yield name, value


def _text(name: str, value: object) -> None:
    if not isinstance(value, str):
        hint = "value.decode()" if isinstance(value, bytes | bytearray) else "str(value)"
        raise InvalidMessage(f"{name} must be text (str), got {_kind(value)}: write {hint}")


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _length(text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidMessage(
            f"{text[:50]!r} is not valid Unicode ({error.reason}): send such bytes in the body"
        ) from error
