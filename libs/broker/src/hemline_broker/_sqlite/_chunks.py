"""Messages as rows: many of one send in one row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hemline_broker._message import Message

CHUNK_MESSAGES = 256
CHUNK_BYTES = 1 << 20

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Chunk(NamedTuple):
    """What one row holds."""

    held: int
    size: int
    meta: str
    data: bytes


def split(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Runs of messages that fit one chunk; a message above the size is a chunk by itself."""
    start = size = 0
    for place, message in enumerate(messages):
        size += len(message.data)
        if place > start and (size > CHUNK_BYTES or place - start >= CHUNK_MESSAGES):
            yield messages[start:place]
            start, size = place, len(message.data)
    if start < len(messages):
        yield messages[start:]


def encode(messages: Sequence[Message]) -> Chunk:
    """Messages to a row."""
    meta = [
        (
            message.id,
            message.key,
            message.type,
            message.source,
            (message.time - _EPOCH) // _MICROSECOND,
            message.content_type,
            len(message.data),
            dict(message.extensions),
            dict(message.headers),
        )
        for message in messages
    ]
    data = messages[0].data if len(messages) == 1 else b"".join([m.data for m in messages])
    return Chunk(len(messages), len(data), json.dumps(meta, separators=(",", ":")), data)


def decode(meta: str, data: bytes) -> list[Message]:
    """A row to messages."""
    messages = []
    start = 0
    for (
        identity, key, kind, source, time, content_type, length, extensions, headers,
    ) in json.loads(meta):  # fmt: skip
        end = start + length
        messages.append(
            Message(
                # A slice of the whole is the same object: no copy of a large body.
                data[start:end],
                key=key,
                id=identity,
                type=kind,
                source=source,
                time=_EPOCH + timedelta(microseconds=time),
                content_type=content_type,
                extensions=extensions,
                headers=headers,
            )
        )
        start = end
    return messages
