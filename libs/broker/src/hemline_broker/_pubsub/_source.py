"""One consumer: a streaming pull on the event loop, with leases that are renewed.

Google's own client has the same parts, but passes each message through four threads; here a whole response of the
server is handed on at once (docs/decisions/0011 has the measurement).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any

import grpc
from google.pubsub_v1 import types

from hemline_broker._delivery import OVERHEAD_BYTES, Delivery
from hemline_broker._driver import Sink
from hemline_broker._errors import BrokerError, Unavailable
from hemline_broker._pubsub._acks import Acknowledger
from hemline_broker._pubsub._errors import RETRYABLE, refused_acks, translate
from hemline_broker._pubsub._lease import Leases, PubsubLease, chunks
from hemline_broker._pubsub._messages import decode
from hemline_broker._pubsub._rpc import Connection, Pause, as_broker_error
from hemline_broker._run import Run

_log = logging.getLogger(__name__)

_PullRequest: Any = types.StreamingPullRequest.pb()
_ModifyRequest: Any = types.ModifyAckDeadlineRequest.pb()
_SHORTEST_STREAM_LEASE_S = 10
_HEARTBEAT_S = 30.0
_SETTLE_S = 30.0
_LEAVE_S = 5.0
_HALF_CLOSE_S = 2.0


class PubsubSource:
    """See `hemline_broker._driver.Source`."""

    def __init__(
        self, connection: Connection, topic: str, group: str, sink: Sink, limits: tuple[int, int]
    ) -> None:
        settings = connection.settings
        self._connection = connection
        self._topic = topic
        self._subscription = connection.subscription(topic, group)
        self._sink = sink
        self._lease_s = settings.lease_s
        self._loop = asyncio.get_running_loop()
        self._leases = Leases(settings.lease_s, settings.max_lease_s)
        self._acks = Acknowledger(connection, self._subscription)
        self._waiting: deque[Delivery] = deque()
        self._room = asyncio.Event()
        self._age = 0.0
        self._pouring = False
        self._closing = False
        self._lost: list[str] = []
        self._stream: Any = None
        self._first = _PullRequest(
            subscription=self._subscription,
            stream_ack_deadline_seconds=max(settings.lease_s, _SHORTEST_STREAM_LEASE_S),
            client_id=uuid.uuid4().hex,
            max_outstanding_messages=limits[0],
            max_outstanding_bytes=limits[1],
        )
        self._reader = self._loop.create_task(self._read())
        self._keeper = self._loop.create_task(self._keep())

    # --- Source ----------------------------------------------------------------------------------------------

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Queue them."""
        acks = []
        now = self._loop.time()
        for delivery in deliveries:
            lease = delivery.lease
            if isinstance(lease, PubsubLease) and self._leases.drop(lease, now):
                acks.append((lease, delivery.message.id))
            else:
                self._lost.append(delivery.message.id)
        if acks:
            self._acks.add(acks)

    def ack_run(self, run: Run) -> None:
        """Each message has a lease of its own, so none came as a run."""

    def wake(self) -> None:
        """Hand on what waits."""
        if self._waiting and not self._pouring:
            self._pouring = True
            self._loop.call_soon(self._pour)

    async def settle(self) -> Sequence[str]:
        """Wait for the acks under way."""
        await self._acks.settle(_SETTLE_S)
        return self._take_lost()

    def extend(self, delivery: Delivery, seconds: float) -> None:
        """Renew the lease for longer."""
        if isinstance(delivery.lease, PubsubLease):
            self._leases.extend(delivery.lease, self._loop.time(), seconds)

    async def lag(self) -> int:
        """What this consumer holds: Pub/Sub itself tells nobody how much is waiting."""
        return len(self._leases)

    async def close(self, unsettled: Sequence[tuple[Delivery, int]]) -> Sequence[str]:
        """End the stream, make acks durable, give everything else back."""
        self._closing = True
        self._waiting.clear()
        self._room.set()
        await self._end_stream()
        try:
            await self._acks.settle(_SETTLE_S)
        except Unavailable as error:
            _log.warning("%s: %s", self._topic, error)
        self._acks.cancel()
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        await self._give_back(self._leases.clear())
        return self._take_lost()

    def _take_lost(self) -> Sequence[str]:
        lost, self._lost = self._lost + self._acks.lost, []
        self._acks.lost = []
        return lost

    # --- the stream ------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        pause = Pause()
        while not self._closing:
            try:
                await self._pull(pause)
            except grpc.RpcError as error:
                if error.code() not in RETRYABLE:
                    self._sink.fail(translate(error, f"consume {self._topic!r}", "StreamingPull"))
                    return
                _log.debug("%s: the stream ended: %s", self._topic, error.details())
            except BrokerError as error:
                self._sink.fail(error)
                return
            except Exception as error:  # noqa: BLE001 - the reader must be told
                _log.error("%s: the consumer failed", self._topic, exc_info=error)
                self._sink.fail(as_broker_error(error, f"consume {self._topic!r}"))
                return
            if not self._closing:
                await pause.rest()

    async def _pull(self, pause: Pause) -> None:
        """One stream, until it ends; Pub/Sub ends each after half an hour or so."""
        stream = self._connection.pull(self._subscription)
        await stream.write(self._first)
        self._stream = stream
        try:
            while True:
                response = await stream.read()
                if response is grpc.aio.EOF:
                    if not self._closing and (await stream.code()) is not grpc.StatusCode.OK:
                        raise _ended(await stream.code(), await stream.details())
                    return
                pause.reset()
                await self._take(response.received_messages)
        finally:
            self._stream = None
            stream.cancel()

    async def _take(self, received: Sequence[Any]) -> None:
        now = self._loop.time()
        fresh: list[PubsubLease] = []
        for each in received:
            message = each.message
            lease = self._leases.take(message.message_id, each.ack_id, now - self._age)
            if lease is None or self._closing:
                continue
            fresh.append(lease)
            self._waiting.append(
                Delivery(decode(message), self._topic, 1, lease, 0, self._sink, each)
            )
        if self._lease_s < _SHORTEST_STREAM_LEASE_S:
            # The stream gave them for longer than was asked for.
            for part in chunks(fresh):
                await self._modify(part, self._lease_s)
        self._pour()
        # Not reading is what makes the server stop: it may hold back, but it need not.
        while self._waiting and not self._closing:
            self._room.clear()
            await self._room.wait()
        paused = self._loop.time() - now
        # What the server sent meanwhile is older than it looks: its leases are renewed at once.
        self._age = self._lease_s * 2 / 3 if paused > self._lease_s / 3 else 0.0

    def _pour(self) -> None:
        """Hand on as much as there is room for."""
        self._pouring = False
        count, size = self._sink.room()
        poured: list[Delivery] = []
        while self._waiting and len(poured) < count and size > 0:
            delivery = self._waiting.popleft()
            if delivery.lease.lost:
                continue
            size -= len(delivery.message.data) + OVERHEAD_BYTES
            poured.append(delivery)
        if poured:
            self._sink.put(poured)
        if not self._waiting:
            self._room.set()

    async def _end_stream(self) -> None:
        """Say goodbye and read what is still under way: the server takes back at once what we know of."""
        stream = self._stream
        if stream is not None:
            try:
                async with asyncio.timeout(_HALF_CLOSE_S):
                    await stream.done_writing()
                    await asyncio.wait({self._reader})
            except (TimeoutError, grpc.RpcError, asyncio.InvalidStateError):
                _log.debug("%s: the stream did not end in time", self._topic)
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    # --- leases ----------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Renew leases, and tell the server on a quiet stream that somebody is there."""
        beat = self._loop.time() + _HEARTBEAT_S
        while True:
            await asyncio.sleep(min(1.0, self._lease_s / 6))
            now = self._loop.time()
            over = self._leases.overdue(now)
            if over:
                _log.warning(
                    "%s: %d leases are over; their messages come again", self._topic, len(over)
                )
            for part in chunks(self._leases.due(now)):
                await self._modify(part, self._lease_s)
            if now >= beat and self._stream is not None:
                beat = now + _HEARTBEAT_S
                try:
                    await self._stream.write(_PullRequest())
                except (grpc.RpcError, asyncio.InvalidStateError):
                    _log.debug("%s: no heartbeat, the stream has ended", self._topic)

    async def _modify(self, leases: Sequence[PubsubLease], seconds: int) -> None:
        asked = self._loop.time()
        request = _ModifyRequest(
            subscription=self._subscription,
            ack_ids=[lease.ack_id for lease in leases],
            ack_deadline_seconds=seconds,
        )
        try:
            await self._connection.once("ModifyAckDeadline", request, self._lease_s / 3)
        except grpc.RpcError as error:
            # What was not changed is tried again in a second, until the lease is over.
            _log.debug("%s: leases were not changed: %s", self._topic, error.details())
            refused = refused_acks(error)
            if not refused:
                return
            self._leases.lose([each for each in leases if each.ack_id in refused.for_good])
            undone = refused.for_good | refused.for_now
            leases = [each for each in leases if each.ack_id not in undone]
        if seconds:
            self._leases.renewed(leases, asked)

    async def _give_back(self, leases: Sequence[PubsubLease]) -> None:
        try:
            async with asyncio.timeout(_LEAVE_S):
                await asyncio.gather(*(self._modify(part, 0) for part in chunks(leases)))
        except TimeoutError:
            _log.warning(
                "%s: %d messages come again when their leases end", self._topic, len(leases)
            )


def _ended(code: Any, details: str) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)
