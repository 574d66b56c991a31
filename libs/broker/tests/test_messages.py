"""What a message may be, and what is said of one that is none: before any I/O, by name, with the way to mend it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hemline_broker import InvalidMessage, InvalidOption, Message, SendFailed, connect
from hemline_broker._message import check, is_plain

_LIMIT = 1_000_000


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"data": "text"}, "data must be bytes, got str: write text.encode()"),
        ({"data": None}, "data must be bytes, got None"),
        ({"data": bytearray(b"x")}, "data must be bytes, got bytearray: write text.encode() or bytes("),
        ({"key": 5}, "key must be text (str), got int: write str(value)"),
        ({"key": b"x"}, "key must be text (str), got bytes: write value.decode()"),
        ({"key": ["x"]}, "key must be text (str), got list"),
        ({"id": b"x"}, "id must be text (str), got bytes: write value.decode()"),
        ({"id": b"x", "type": b"x", "source": b"x"}, "id must be text (str), got bytes"),
        ({"id": 7}, "id must be text (str), got int"),
        ({"id": ""}, "id must not be empty: leave it out"),
        ({"type": 7}, "type must be text (str), got int"),
        ({"type": ["t"]}, "type must be text (str), got list"),
        ({"source": None}, "source must be text (str), got None"),
        ({"content_type": b"image/png"}, "content_type must be text (str), got bytes"),
        ({"content_type": 5}, "content_type must be text (str), got int"),
        ({"content_type": "application/cloudevents+json"}, "send its data and attributes as a Message, or"),
        ({"content_type": "Application/CloudEvents+JSON ; charset=utf-8"}, "announces a whole event"),
        ({"time": "2026-01-01"}, "time must be a datetime with a time zone, got str"),
        ({"time": 1_700_000_000}, "time must be a datetime with a time zone, got int"),
        ({"time": datetime(2026, 1, 1)}, "time has no time zone: write datetime.now(timezone.utc)"),
        ({"headers": {"h": 5}}, "header h must be text (str), got int: write str(value)"),
        ({"headers": {"h": b"x"}}, "header h must be text (str), got bytes: write value.decode()"),
        ({"headers": {5: "x"}}, "names of headers must be text (str), got int: 5"),
        ({"headers": {b"h": "x"}}, "names of headers must be text (str), got bytes: b'h'"),
        ({"headers": [("h", "x")]}, "headers must map names to text, such as {'name': 'text'}; got list"),
        ({"headers": None}, "headers must map names to text, such as {'name': 'text'}; got None"),
        ({"extensions": {"e": 5}}, "extension e must be text (str), got int"),
        ({"extensions": {5: "x"}}, "names of extensions must be text (str), got int"),
        ({"extensions": "e=x"}, "extensions must map names to text"),
        ({"extensions": {"Upper": "x"}}, "extension 'Upper' is not allowed"),
        ({"key": "\ud800"}, "'\\ud800' is not valid Unicode"),
        ({"id": "\ud800"}, "'\\ud800' is not valid Unicode"),
        ({"content_type": "\ud800"}, "'\\ud800' is not valid Unicode"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_message(fields: dict[str, Any], says: str) -> None:
    wrong = Message(**{"data": b"x", **fields})
    async with connect("memory:") as broker:
        with pytest.raises(InvalidMessage) as alone:
            await broker.send("no-such-topic", wrong)
        with pytest.raises(SendFailed) as among:
            await broker.ensure("topic")
            await broker.send_many("topic", [Message(b"x"), wrong])
    assert says in str(alone.value)
    assert str(among.value.errors[1]) == str(alone.value)
    assert list(among.value.errors) == [1]


@pytest.mark.parametrize("wrong", [b"x", "x", None, {"data": b"x"}])
async def test_what_is_no_message(wrong: Any) -> None:
    async with connect("memory:") as broker:
        with pytest.raises(InvalidMessage, match=r"expected a Message, got .*write Message\(b"):
            await broker.send("topic", wrong)


@pytest.mark.parametrize("name", [5, None, b"topic", "", "1st", "a b", "x" * 121])
async def test_what_is_no_name(name: Any) -> None:
    async with connect("memory:") as broker:
        with pytest.raises(InvalidOption, match="expected 1 to 120 characters"):
            await broker.ensure(name)
        if name is not None:
            with pytest.raises(InvalidOption, match=r"dead-letter topic .*: expected 1 to 120"):
                broker.subscribe("topic", group="group", dead_letter=name)


@pytest.mark.parametrize(
    "message",
    [
        Message(b""),
        Message(b"x", key="k", id="i", type="t", source="s", content_type="text/plain"),
        Message(b"x", key=""),
        Message(b"x", content_type="application/cloudevents-batch+json"),
        Message(b"x", key="ключ", id="идентификатор", content_type="téxt"),
        Message(b"x", time=datetime(2026, 1, 1, tzinfo=UTC), headers={"h": ""}, extensions={"e": ""}),
    ],
)  # fmt: skip
def test_what_is_right(message: Message) -> None:
    check(message, _LIMIT)


def test_most_messages_are_plain() -> None:
    """The short way is there for them; the long one takes several times as long."""
    assert is_plain(Message(b"x"), _LIMIT)
    assert is_plain(Message(b"x", key="k", id="i", content_type="image/png"), _LIMIT)


def test_the_time_of_a_message_is_when_it_was_made() -> None:
    before = datetime.now(UTC)
    message = Message(b"x")
    text = message.time_text()
    assert abs((message.time - before).total_seconds()) < 60
    assert datetime.fromisoformat(text) == message.time
    assert message.time_text() == text
    assert message.replace(key="k").time == message.time
