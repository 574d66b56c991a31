"""Interoperability with the official CloudEvents SDK, both ways: by themselves, and through a real Kafka."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, Producer
from confluent_kafka import Message as Record

from hemline_broker import Message
from hemline_broker._attributes import from_attributes, parse_time, to_attributes
from hemline_broker._kafka._records import PREFIX, headers_of, key_of
from hemline_broker._kafka._records import KafkaMessage as Received
from hemline_broker._structured import parse
from hemline_broker.testing import Harness

_NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
_EVENT = "application/cloudevents+json; charset=UTF-8"
_MODES = {"binary": to_binary, "structured": to_structured}


def sdk_event(data: Any, **attributes: Any) -> CloudEvent:
    """An event of the SDK's, with every attribute that matters unless told otherwise."""
    usual = {
        "specversion": "1.0", "id": f"id-{uuid.uuid4().hex}", "type": "dev.hemline.test", "source": "/sdk",
        "time": _NOW, "subject": "größe 7", "traceparent": "00-1-2-3",
    }  # fmt: skip
    return CloudEvent(attributes={**usual, **attributes}, data=data)


# What an SDK sends → the body that arrives.
_SENT = [
    (sdk_event(b"\x89PNG\x00\xff", datacontenttype="image/png", partitionkey="k-1"), b"\x89PNG\x00\xff"),
    (sdk_event({"größe": [1, 2.5, None]}, datacontenttype="application/json"), {"größe": [1, 2.5, None]}),
    (sdk_event({"a": 1}, datacontenttype="application/vnd.shop+json; v=1"), {"a": 1}),
    (sdk_event("plain text, äöü", datacontenttype="text/plain"), "plain text, äöü".encode()),
    (sdk_event(b'{"looks": "like JSON"}', datacontenttype="application/octet-stream"), b'{"looks": "like JSON"}'),
    (sdk_event(None, partitionkey="k-2"), b""),
]  # fmt: skip


def same(message: Message, event: CloudEvent, data: object) -> None:
    """The message says what the event says."""
    body: object = message.data
    if isinstance(data, dict):
        body = json.loads(message.data)  # JSON may be written in more ways than one
    assert body == data
    assert message.id == event.get_id()
    assert message.type == event.get_type()
    assert message.source == event.get_source()
    assert message.time == event.get_time()
    assert message.content_type == event.get_datacontenttype()
    assert message.key == event.get_extension("partitionkey")
    assert message.extensions == {
        name: event.get_attributes()[name] for name in ("subject", "traceparent")
    }
    assert message.headers == {}


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


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize(("event", "data"), _SENT)
def test_we_read_what_the_sdk_sends(mode: str, event: CloudEvent, data: object) -> None:
    record = _MODES[mode](event, JSONFormat())
    key = record.key.decode() if isinstance(record.key, bytes) else record.key
    message = from_attributes(
        record.value,
        key,
        [(n, v.decode()) for n, v in record.headers.items()],
        PREFIX,
        lambda: ("t/0/1", datetime.now(UTC)),
    )
    same(message, event, data)


@pytest.mark.kafka
async def test_through_a_real_kafka_from_the_sdk_to_us_and_back(kafka_url: str) -> None:
    """Written by the SDK and a raw producer, read and sent on by us, read by a raw consumer and the SDK."""
    harness = Harness(kafka_url)
    servers = kafka_url.removeprefix("kafka://").partition("?")[0]
    async with harness.topic("group") as (broker, topic), harness.topic() as (_, copies):
        producer = Producer({"bootstrap.servers": servers})
        wanted = [(mode, event, data) for mode in _MODES for event, data in _SENT]
        for mode, event, _ in wanted:
            record = _MODES[mode](event, JSONFormat())
            producer.produce(topic, record.value, key=record.key, headers=record.headers)
        await asyncio.to_thread(producer.flush, 30)
        async with broker.subscribe(topic, group="group") as subscription:
            taken = await harness.take(subscription, len(wanted))
            for delivery, (_, event, data) in zip(taken, wanted, strict=True):
                same(delivery.message, event, data)
            await broker.send_many(copies, [delivery.message for delivery in taken])
        for read, (_, event, data) in zip(
            await asyncio.to_thread(_raw, servers, copies, len(wanted)), wanted, strict=True
        ):
            for name, value in event.get_attributes().items():
                assert read.get_attributes()[name] == value
            # The SDK parses JSON where the type says so, and gives text for bytes that are text.
            found = read.get_data()
            assert (found.encode() if isinstance(found, str) else found or b"") == data


def _raw(servers: str, topic: str, count: int) -> list[CloudEvent]:
    """The events of a topic as somebody without this library reads them."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest",
        }
    )  # fmt: skip
    consumer.subscribe([topic])
    events = []
    try:
        while len(events) < count:
            record = consumer.poll(60)
            assert record is not None and record.error() is None
            headers: Mapping[str, Any] = dict(record.headers() or ())
            message = KafkaMessage(dict(headers), record.key(), record.value() or b"")
            events.append(from_binary(message, JSONFormat()))
    finally:
        consumer.close()
    return events


# --- structured mode ------------------------------------------------------------------------------------------


def _received(body: bytes, headers: Mapping[str, str], reader: str) -> Message:
    """What a reader makes of a body and headers: Kafka, or a backend that hands over attributes."""
    if reader == "kafka":
        pairs: Any = [(name, value.encode()) for name, value in headers.items()]
        return Received(Record(topic="t", partition=0, offset=1, value=body, headers=pairs))
    return from_attributes(body, None, headers.items(), PREFIX, lambda: ("t/0/1", _NOW))


def _json(**fields: object) -> bytes:
    required = {"specversion": "1.0", "id": "i", "source": "/s", "type": "t"}
    return json.dumps({**required, **fields}).encode()


@pytest.mark.parametrize(
    ("body", "attributes", "content_type", "data"),
    [
        (_json(), {}, None, b""),
        (_json(data=None, subject=None), {}, None, b""),
        (_json(data="text"), {}, "application/json", b'"text"'),
        (_json(data="text", datacontenttype="text/plain"), {}, "text/plain", b"text"),
        (_json(data="text", datacontenttype="text/json"), {}, "text/json", b'"text"'),
        (_json(data=[1, "ä"], datacontenttype="image/png"), {}, "image/png", '[1,"ä"]'.encode()),
        (_json(data_base64="/9g="), {}, None, b"\xff\xd8"),
        (_json(flag=True, off=False, count=7), {"flag": "true", "off": "false", "count": "7"}, None, b""),
    ],
)  # fmt: skip
def test_what_an_event_says(
    body: bytes, attributes: Mapping[str, str], content_type: str | None, data: bytes
) -> None:
    event = parse(_EVENT, body)
    assert event is not None
    assert (event.content_type, event.data) == (content_type, data)
    required = {"specversion": "1.0", "id": "i", "source": "/s", "type": "t"}
    assert event.attributes == {**required, **attributes}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b"\xff{",
        _json().decode().encode("utf-16"),
        _json().decode().encode("utf-32-le"),
        b'{"a":' * 100_000,
        _json(id=5),
        _json(type=None),
        _json(specversion="0.3", data="eA==", datacontentencoding="base64"),
        _json(data_base64="no base64!"),
        _json(data_base64=5),
        _json(datacontenttype=5),
        _json(extension={"nested": 1}),
        _json(extension=1.5),
        _json(subject="\ud800"),
        _json(data="\ud800", datacontenttype="text/plain"),
        _json(data={"deep": "\ud800"}),
    ],
)
def test_what_is_no_event_stays_what_it_was(body: bytes) -> None:
    message = from_attributes(body, "k", [("content-type", _EVENT)], PREFIX, lambda: ("p", _NOW))
    assert (message.data, message.content_type, message.id) == (body, _EVENT, "k")


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/cloudevents-batch+json", "application/cloudevents+avro"],
)
def test_other_content_types_are_not_looked_into(content_type: str) -> None:
    assert parse(content_type, _json()) is None


def test_an_event_in_an_event_is_opened_once() -> None:
    """And headers beside the outer one are kept, while what they say of an event counts no more."""
    inner = _json(id="inner")
    outer = _json(id="outer", datacontenttype=_EVENT, data_base64=base64.b64encode(inner).decode())
    sent = [("content-type", _EVENT), ("ce_id", "outer"), ("shop", "7")]
    message = from_attributes(outer, None, sent, PREFIX, lambda: ("p", _NOW))
    assert (message.id, message.content_type, message.data) == ("outer", _EVENT, inner)
    assert message.headers == {"shop": "7"}


@pytest.mark.parametrize("reader", ["kafka", "attributes"])
@pytest.mark.parametrize("look_first", ["id", "data", "type", "extensions"])
def test_headers_beside_an_event_say_nothing_of_it(reader: str, look_first: str) -> None:
    """On every backend the same, and whatever is asked for first."""
    headers = {"ce_id": "outer", "ce_type": "outer", "ce_trace": "1", "content-type": _EVENT, "shop": "7"}  # fmt: skip
    message = _received(_json(id="inner", data={"a": 1}, colour="red"), headers, reader)
    getattr(message, look_first)
    assert (message.id, message.type, message.data) == ("inner", "t", b'{"a":1}')
    assert (message.extensions, message.headers) == ({"colour": "red"}, {"shop": "7"})
    assert message.content_type == "application/json"


@pytest.mark.parametrize("reader", ["kafka", "attributes"])
def test_headers_beside_what_is_no_event_are_those_of_the_message(reader: str) -> None:
    headers = {"ce_id": "outer", "content-type": _EVENT, "ce_type": "mine"}
    message = _received(b'{"no": "event"}', headers, reader)
    assert (message.id, message.type, message.data) == ("outer", "mine", b'{"no": "event"}')


@pytest.mark.parametrize("reader", ["kafka", "attributes"])
def test_an_event_behind_a_byte_order_mark(reader: str) -> None:
    body = b"\xef\xbb\xbf" + _json(data="hi", datacontenttype="text/plain")
    message = _received(body, {"content-type": _EVENT}, reader)
    assert (message.data, message.id, message.content_type) == (b"hi", "i", "text/plain")


@pytest.mark.parametrize("reader", ["kafka", "attributes"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32-le"])
def test_an_event_that_is_not_utf_8_is_none(reader: str, encoding: str) -> None:
    body = _json(data="hi").decode().encode(encoding)
    message = _received(body, {"content-type": _EVENT}, reader)
    assert (message.data, message.id, message.content_type) == (body, "t/0/1", _EVENT)


# --- attributes -----------------------------------------------------------------------------------------------


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
