"""Sending to topics: which keep order, and what becomes of each message."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from google.pubsub_v1 import types

from hemline_broker._errors import BrokerError, Denied, NotFound, Unavailable
from hemline_broker._message import Message, Receipt
from hemline_broker._pubsub._lane import Lane, Sending
from hemline_broker._pubsub._rpc import ADMIN_TIMEOUT_S, Connection

_log = logging.getLogger(__name__)

_GetTopicRequest: Any = types.GetTopicRequest.pb()
ORDERED_LABEL = "hemline-broker-ordered"
_AT_ONCE = 4
_FLUSH_S = 10.0


class Publisher:
    """Sends messages; one per connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._ordered: dict[str, bool] = {}
        self._lanes: dict[tuple[str, str], Lane] = {}

    async def send(
        self, topic: str, messages: Sequence[Message], timeout: float
    ) -> Sequence[Receipt | BrokerError]:
        """See `hemline_broker._driver.Driver.send`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + timeout
        try:
            async with asyncio.timeout_at(until):
                ordered = await self._keeps_order(topic, timeout)
                sending = Sending(messages, until)
                if ordered:
                    places: dict[str, list[int]] = {}
                    for place, message in enumerate(messages):
                        places.setdefault(message.key or "", []).append(place)
                    for key, mine in places.items():
                        self._lane(topic, key).add(sending, mine)
                else:
                    self._lane(topic, "").add(sending, range(len(messages)))
                await sending.future
        except TimeoutError:
            raise Unavailable(
                f"{len(messages)} message(s) to {topic!r} not confirmed within {timeout:g} s; they may still arrive"
            ) from None
        first = sending.results[0] if sending.results else None
        if isinstance(first, (NotFound, Denied)) and all(
            type(each) is type(first) for each in sending.results
        ):
            self._ordered.pop(topic, None)
            raise first
        return sending.results

    async def close(self) -> None:
        """Wait for what is being sent, for a while."""
        lanes = list(self._lanes.values())
        if not lanes:
            return
        try:
            async with asyncio.timeout(_FLUSH_S):
                await asyncio.gather(*(lane.drain() for lane in lanes))
        except TimeoutError:
            _log.warning("messages were not confirmed before closing; they may be lost")
            for lane in lanes:
                lane.cancel()

    def forget(self, topic: str) -> None:
        """Look again whether a topic keeps order."""
        self._ordered.pop(topic, None)

    def _lane(self, topic: str, key: str) -> Lane:
        name = (topic, key)
        lane = self._lanes.get(name)
        if lane is None:

            def idle(lane: Lane) -> None:
                if self._lanes.get(name) is lane:
                    del self._lanes[name]

            # The messages of one key leave one request at a time, or a retry would let them overtake.
            lane = self._lanes[name] = Lane(self._connection, topic, 1 if key else _AT_ONCE, idle)
        return lane

    async def _keeps_order(self, topic: str, timeout: float) -> bool:
        known = self._ordered.get(topic)
        if known is not None:
            return known
        request = _GetTopicRequest(topic=self._connection.topic(topic))
        try:
            found = await self._connection.call(
                "GetTopic", request, f"send to {topic!r}", min(timeout, ADMIN_TIMEOUT_S)
            )
        except NotFound as error:
            raise NotFound(
                f"topic {topic!r} does not exist; call ensure({topic!r}) first"
            ) from error
        except Denied:
            # A right to publish alone does not let us look. Keys in order are right for every topic, if slower.
            _log.warning(
                "%s: no right to look at the topic (pubsub.topics.get), so it counts as ordered",
                topic,
            )
            ordered = True
        else:
            ordered = ORDERED_LABEL in found.labels
        self._ordered[topic] = ordered
        return ordered
