"""Acknowledgements: gathered for a moment, sent together, sent again until they are in or too late."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import grpc
from google.pubsub_v1 import types

from hemline_broker._errors import Unavailable
from hemline_broker._pubsub._errors import RETRYABLE, refused_acks, translate
from hemline_broker._pubsub._lease import MAX_IDS, PubsubLease, chunks
from hemline_broker._pubsub._rpc import Connection, Pause

_log = logging.getLogger(__name__)

_AcknowledgeRequest: Any = types.AcknowledgeRequest.pb()
_GATHER_S = 0.01
_ATTEMPT_S = 10.0

Ack = tuple[PubsubLease, str]


class Acknowledger:
    """The acks of one consumer; `lost` gathers the message ids of those that did not count."""

    def __init__(self, connection: Connection, subscription: str) -> None:
        self._connection = connection
        self._subscription = subscription
        self._waiting: list[Ack] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.lost: list[str] = []

    def add(self, acks: Sequence[Ack]) -> None:
        """Send these soon; each is a lease and the id of its message."""
        self._waiting += acks
        if len(self._waiting) >= MAX_IDS:
            self._flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self._flush)

    async def settle(self, timeout: float) -> None:
        """Return when every ack so far is in, or known to be lost.

        Raises:
            Unavailable: Pub/Sub did not take them within `timeout` seconds; they are tried further.
        """
        self._flush()
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=timeout)
            if late:
                raise Unavailable(
                    f"acknowledgements of {self._subscription} were not taken within {timeout:g} s"
                )

    def cancel(self) -> None:
        """Give up."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        ids = dict(waiting)
        for part in chunks([lease for lease, _ in waiting]):
            task = asyncio.get_running_loop().create_task(
                self._send([(lease, ids[lease]) for lease in part])
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, acks: list[Ack]) -> None:
        loop = asyncio.get_running_loop()
        pause = Pause()
        while acks:
            request = _AcknowledgeRequest(
                subscription=self._subscription, ack_ids=[lease.ack_id for lease, _ in acks]
            )
            try:
                await self._connection.once("Acknowledge", request, _ATTEMPT_S)
            except grpc.RpcError as error:
                acks = self._again(acks, error, loop.time())
            else:
                return
            if acks:
                await pause.rest(1.0)

    def _again(self, acks: list[Ack], error: grpc.RpcError, now: float) -> list[Ack]:
        """Those that are worth another attempt; the others are lost."""
        refused = refused_acks(error)
        if refused:
            left = [ack for ack in acks if ack[0].ack_id in refused.for_now]
            gone = [ack for ack in acks if ack[0].ack_id in refused.for_good]
        elif error.code() in RETRYABLE:
            left, gone = acks, []
        else:
            _log.error(
                "%s", translate(error, f"acknowledge on {self._subscription}", "Acknowledge")
            )
            left, gone = [], acks
        # Nobody renews what is acknowledged, so it goes to another consumer now.
        gone += [ack for ack in left if now >= ack[0].until]
        self.lost += [identity for _, identity in gone]
        return [ack for ack in left if now < ack[0].until]
