"""Publishing: what waits for a topic, in requests as full as they may be, a few at a time.

Nothing waits for company: a lone message goes at once, and what comes while requests are under way forms the next ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from google.pubsub_v1 import types

from hemline_broker._errors import BrokerError, Closed, Denied, NotFound, Unavailable
from hemline_broker._message import Message, Receipt
from hemline_broker._pubsub._messages import (
    MAX_REQUEST_BYTES,
    MAX_REQUEST_MESSAGES,
    encode,
)
from hemline_broker._pubsub._rpc import Connection, as_broker_error

_PublishRequest: Any = types.PublishRequest.pb()
# What one message costs in a request beside its own bytes.
_FRAME_BYTES = 8
# A caller gives up by itself; this bounds what nobody waits for any more.
_SHORTEST_S = 1.0


class Sending:
    """The messages of one call of `send`, their results by place, and a future for when all are there."""

    __slots__ = ("future", "left", "messages", "results", "until")

    def __init__(self, messages: Sequence[Message], until: float) -> None:
        self.messages = messages
        self.until = until
        self.left = len(messages)
        self.results: list[Receipt | BrokerError] = [Closed("not sent yet")] * len(messages)
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def report(self, place: int, result: Receipt | BrokerError) -> None:
        """Note what became of a message."""
        self.results[place] = result
        self.left -= 1
        if not self.left and not self.future.done():
            self.future.set_result(None)


@dataclass(frozen=True, slots=True)
class _Part:
    """What one request carries."""

    messages: list[Any]
    origins: list[tuple[Sending, int]]
    until: float


class Lane:
    """A topic, or one ordering key of an ordered topic."""

    def __init__(
        self, connection: Connection, topic: str, at_once: int, on_idle: Callable[[Lane], None]
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._at_once = at_once
        # One request at a time is what a lane of one ordering key has, and no other.
        self._ordered = at_once == 1
        self._on_idle = on_idle
        self._waiting: deque[tuple[Sending, int]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def add(self, sending: Sending, places: Sequence[int]) -> None:
        """Queue these messages of a call."""
        self._waiting.extend((sending, place) for place in places)
        self._soon()

    async def drain(self) -> None:
        """Return when nothing is waiting or under way."""
        while self._tasks or self._waiting:
            await asyncio.sleep(0)
            if self._tasks:
                await asyncio.wait(self._tasks)

    def cancel(self) -> None:
        """Give up."""
        for sending, place in self._waiting:
            sending.report(place, Closed("the broker was closed before the message was sent"))
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()

    def _soon(self) -> None:
        # At the end of this turn of the loop, so that sends side by side share a request.
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._tasks) < self._at_once:
            part = self._next()
            if part.messages:
                task = asyncio.get_running_loop().create_task(self._publish(part))
                self._tasks.add(task)
                task.add_done_callback(self._done)
        if not self._waiting and not self._tasks:
            self._on_idle(self)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._pump()

    def _next(self) -> _Part:
        """Encode as much as one request carries."""
        part = _Part([], [], 0.0)
        size = 0
        until = 0.0
        while self._waiting and len(part.messages) < MAX_REQUEST_MESSAGES:
            sending, place = self._waiting[0]
            if sending.future.cancelled():
                self._waiting.popleft()
                continue
            encoded = encode(sending.messages[place], ordered=self._ordered)
            if isinstance(encoded, BrokerError):
                if part.messages and self._ordered:
                    break  # what is before it may fail, too, and goes first
                self._waiting.popleft()
                self._fail([(sending, place)], encoded)
                continue
            size += encoded.ByteSize() + _FRAME_BYTES
            if part.messages and size > MAX_REQUEST_BYTES:
                break
            self._waiting.popleft()
            part.messages.append(encoded)
            part.origins.append((sending, place))
            until = max(until, sending.until)
        return _Part(part.messages, part.origins, until)

    async def _publish(self, part: _Part) -> None:
        try:
            await self._send(part)
        except asyncio.CancelledError:
            self._fail(part.origins, Closed("the broker was closed before the message was sent"))
            raise

    async def _send(self, part: _Part) -> BrokerError | None:
        """Send and report; what went wrong, if anything did."""
        loop = asyncio.get_running_loop()
        count = len(part.origins)
        try:
            answer = await self._connection.call(
                "Publish",
                _PublishRequest(topic=self._connection.topic(self._topic), messages=part.messages),
                f"send {count} message(s) to {self._topic!r}",
                max(part.until - loop.time(), _SHORTEST_S),
            )
        except Exception as problem:  # noqa: BLE001 - whoever waits must be told
            error = as_broker_error(problem, f"send to {self._topic!r}")
            if type(error) is BrokerError and count > 1:
                # One message spoils the request: find it by halves, so that the others are sent.
                half = count // 2
                first = _Part(part.messages[:half], part.origins[:half], part.until)
                second = _Part(part.messages[half:], part.origins[half:], part.until)
                refused = await self._send(first)
                if refused is None or not self._ordered:
                    return await self._send(second)
                self._report(second.origins, _behind(refused))
                return refused
            self._fail(part.origins, error)
            return error
        positions = answer.message_ids
        if len(positions) != count:
            error = BrokerError(
                f"Pub/Sub answered {len(positions)} positions for {count} message(s)"
            )
            self._fail(part.origins, error)
            return error
        for (sending, place), position in zip(part.origins, positions, strict=True):
            sending.report(place, Receipt(sending.messages[place].id, position))
        return None

    def _fail(self, origins: Sequence[tuple[Sending, int]], error: BrokerError) -> None:
        """Report it; where order is kept, nothing that waits behind may go first."""
        self._report(origins, error)
        if self._ordered:
            self._report(self._waiting, _behind(error))
            self._waiting.clear()

    @staticmethod
    def _report(origins: Iterable[tuple[Sending, int]], error: BrokerError) -> None:
        for sending, place in origins:
            sending.report(place, error)


def _behind(error: BrokerError) -> BrokerError:
    """What becomes of a message whose forerunner of the same key failed."""
    if isinstance(error, NotFound | Denied | Unavailable | Closed):
        return error  # of the topic or the service, not of one message
    return Unavailable(
        "not sent: the topic keeps the order of a key, and an earlier message of this one failed; send it again "
        f"when that one is dealt with: {error}"
    )
