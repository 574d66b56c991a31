"""Interoperability with the official CloudEvents SDK, both ways."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from hemline_broker import Message
from hemline_broker._attributes import from_attributes, parse_time, to_attributes
from hemline_broker._kafka._records import PREFIX, headers_of, key_of

_NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_the_sdk_reads_what_we_send() -> None:
    message = Message(
        b"\x89PNG\x00", key="42", id="id-1", type="dev.hemline.image", source="/sim", time=_NOW,
        content_type="image/png", extensions={"group": "g1"},
    )  # fmt: skip
    headers = {name: str(value).encode() for name, value in headers_of(message).items()}
    event = from_binary(KafkaMessage(headers, key_of(message), message.data), JSONFormat())
    assert event.get_data() == message.data
    assert event.get_id() == "id-1"
    assert event.get_type() == "dev.hemline.image"
    assert event.get_source() == "/sim"
    assert event.get_time() == _NOW
    assert event.get_datacontenttype() == "image/png"
    assert event.get_extension("group") == "g1"


def test_we_read_what_the_sdk_sends() -> None:
    event = CloudEvent(
        attributes={
            "specversion": "1.0", "id": "id-2", "type": "t", "source": "/sdk", "time": _NOW,
            "datacontenttype": "image/jpeg", "partitionkey": "key-2", "group": "g2",
        },
        data=b"\xff\xd8",
    )  # fmt: skip
    record = to_binary(event, JSONFormat())
    key = record.key.decode() if isinstance(record.key, bytes) else record.key
    message = from_attributes(
        record.value,
        key,
        [(n, v.decode()) for n, v in record.headers.items()],
        PREFIX,
        lambda: ("t/0/1", _NOW),
    )
    assert message == Message(
        b"\xff\xd8", key="key-2", id="id-2", type="t", source="/sdk", time=_NOW,
        content_type="image/jpeg", extensions={"group": "g2"},
    )  # fmt: skip


def test_attributes_there_and_back() -> None:
    message = Message(b"x", key="k", time=_NOW, extensions={"a": "b"}, headers={"h": "v"})
    for prefix in ("ce_", "ce-"):
        pairs = to_attributes(message, prefix).items()
        assert (
            from_attributes(b"x", "k", pairs, prefix, lambda: ("p", datetime.now(UTC))) == message
        )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-02T03:04:05.678901Z", _NOW),
        ("2026-01-02T05:04:05.678901+02:00", _NOW),
        ("2026-01-02T03:04:05", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times(text: str, wanted: datetime | None) -> None:
    assert parse_time(text) == wanted
