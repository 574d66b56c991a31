"""A message as a Kafka record, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Message as Record

from hemline_broker._attributes import CONTENT_TYPE, parse_time, to_attributes
from hemline_broker._delivery import OVERHEAD_BYTES
from hemline_broker._message import Message
from hemline_broker._structured import MEDIA_TYPE, is_structured, parse

PREFIX = "ce_"
_ID, _TYPE, _SOURCE, _TIME, _KEY = "ce_id", "ce_type", "ce_source", "ce_time", "ce_partitionkey"
_NO_EXTENSIONS = frozenset((_ID, _TYPE, _SOURCE, _TIME, _KEY, "ce_specversion"))
_OPENINGS = frozenset(b"{ \t\r\n\xef")  # the last opens a byte order mark
_STRUCTURED = MEDIA_TYPE.encode()
_CUT = len(_STRUCTURED)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def texts_of(message: Message) -> dict[str, str]:
    """Record headers of a message whose text is all Unicode."""
    if (
        type(message) is not Message
        or message._content_type
        or message._extensions
        or message._headers
    ):
        return to_attributes(message, PREFIX)
    # Most messages of a stream: past the properties, each of which is a call.
    return {
        "ce_specversion": "1.0",
        "ce_id": message._id,
        "ce_source": message._source,
        "ce_type": message._type,
        "ce_time": message.time_text(),
    }


def headers_of(message: Message) -> dict[str, str | bytes | None]:
    """Record headers of any message; text that came as illegal UTF-8 goes out as the same bytes."""
    return {
        name: value if value.isascii() else value.encode("utf-8", "surrogateescape")
        for name, value in to_attributes(message, PREFIX).items()
    }


def key_of(message: Message) -> bytes | None:
    """Record key."""
    return None if message.key is None else message.key.encode("utf-8", "surrogateescape")


class KafkaMessage(Message):
    """A message that came: its attributes are read from the record when somebody asks for them."""

    __slots__ = ("_body", "_record", "_texts")

    def __init__(self, record: Record) -> None:
        # Not the parent's: every attribute comes from the record.
        self._record = record
        self._texts: Mapping[str, str] | None = None
        self._body: bytes | None = None

    def _all(self) -> Mapping[str, str]:
        """Every header that has a value; of a name that comes twice the last counts."""
        texts = self._texts
        if texts is None:
            # Typed as what may be sent; what is received is always a list of (str, bytes or None), or None.
            headers: Any = self._record.headers() or ()
            try:
                texts = {name: value.decode() for name, value in headers if value is not None}
            except UnicodeDecodeError:
                texts = {name: _text(value) for name, value in headers if value is not None}
            if is_structured(texts.get(CONTENT_TYPE)):
                texts = self._unfolded(texts)
            self._texts = texts
        return texts

    def _unfolded(self, texts: Mapping[str, str]) -> Mapping[str, str]:
        """The headers that an event in structured mode would have in binary mode; its data is the body from here on."""
        event = parse(texts.get(CONTENT_TYPE), self._record.value() or b"")
        if event is None:
            return texts
        self._body = event.data
        found = {name: value for name, value in texts.items() if not name.startswith(PREFIX)}
        del found[CONTENT_TYPE]
        if event.content_type is not None:
            found[CONTENT_TYPE] = event.content_type
        return found | {PREFIX + name: value for name, value in event.attributes.items()}

    @property
    def data(self) -> bytes:
        """The body."""
        body: bytes | None = self._record.value()
        # Only JSON can be an event in structured mode: nothing else is worth a look at the headers.
        if body and body[0] in _OPENINGS:
            self._all()
            if self._body is not None:
                return self._body
        return body or b""

    @property
    def key(self) -> str | None:
        """The record's key, else what the SDKs carry beside it."""
        key: Any = self._record.key()
        if key:
            try:
                return key.decode()  # type: ignore[no-any-return] # twice as fast as with an error handler
            except UnicodeDecodeError:
                return _text(key)
        return self._all().get(_KEY) or (None if key is None else "")

    @property
    def id(self) -> str:
        """CloudEvents id, else the key, else the position. Most readers want it and nothing more."""
        found: bytes | None = None
        headers: Any = self._record.headers() or ()
        for name, value in headers:
            if name == _ID:
                if value is not None:
                    found = value
            elif name == CONTENT_TYPE and value and value[:_CUT].lower() == _STRUCTURED:
                found = None  # of a whole event its own id counts
                break
        if found:
            try:
                return found.decode()
            except UnicodeDecodeError:
                return _text(found)
        if inner := self._all().get(_ID):
            return inner
        record = self._record
        return self.key or f"{record.topic()}/{record.partition()}/{record.offset()}"

    @property
    def type(self) -> str:
        """CloudEvents type."""
        return self._all().get(_TYPE) or "message"

    @property
    def source(self) -> str:
        """CloudEvents source."""
        return self._all().get(_SOURCE) or "unknown"

    @property
    def time(self) -> datetime:
        """CloudEvents time, else the record's."""
        time = parse_time(self._all().get(_TIME, ""))
        return time or _EPOCH + timedelta(milliseconds=max(self._record.timestamp()[1], 0))

    @property
    def content_type(self) -> str | None:
        """Media type of the body."""
        return self._all().get(CONTENT_TYPE)

    @property
    def extensions(self) -> Mapping[str, str]:
        """CloudEvents extension attributes."""
        cut = len(PREFIX)
        return {
            name[cut:]: value
            for name, value in self._all().items()
            if name.startswith(PREFIX) and name not in _NO_EXTENSIONS
        }

    @property
    def headers(self) -> Mapping[str, str]:
        """Other headers."""
        return {
            name: value
            for name, value in self._all().items()
            if not name.startswith(PREFIX) and name != CONTENT_TYPE
        }

    def time_text(self) -> str:
        """The time as RFC 3339."""
        return self.time.isoformat()


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def offsets_of(run: Sequence[Record]) -> Sequence[int]:
    """Offsets of records of one partition, which ascend: a range unless compaction or a transaction left a gap."""
    first: Any = run[0].offset()
    last: Any = run[-1].offset()
    if last - first + 1 == len(run):
        return range(first, last + 1)
    found: list[Any] = [record.offset() for record in run]
    return found


def fitting(sizes: Sequence[int], count: int, size: int) -> int:
    """How many bodies of these sizes there is room for; the last may go beyond it, or the largest would never come."""
    if len(sizes) <= count and sum(sizes) + len(sizes) * OVERHEAD_BYTES <= size:
        return len(sizes)
    for place, each in enumerate(sizes[:count]):
        if size <= 0:
            return place
        size -= each + OVERHEAD_BYTES
    return min(len(sizes), count)
