"""What ``hemline up`` sees: pollers that ask the services and keep the newest answers."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from hemline.up._http import get, get_status
from hemline.up._samples import SampleClient, Seen
from hemline.up._services import Services
from hemline.up._training import Training
from hemline_api.report import SnapshotRef
from hemline_operator.lifecycle import State, Trial

__all__ = ["Sight", "Watch"]

_SUMMARY_EVERY: Final = 1.0
_HEALTH_EVERY: Final = 0.5
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sight:
    """The newest answers. Every one may be old; decisions check what each was asked for."""

    seen: Seen | None = None
    trial: Trial | None = None
    snapshots: dict[str, SnapshotRef] = field(default_factory=dict)
    revision: int | None = None
    """The revision that inference has."""
    served: tuple[int, SnapshotRef] | None = None
    """A revision that inference has, and the lake as it was after that."""
    refused: Mapping[int, str] = field(default_factory=dict)
    trainer: Mapping[str, Any] | None = None
    """``/status`` of the trainer."""


class Watch:
    """Asks the services in the background.

    Args:
        services: whom to ask.
        training: whose progress to ask for.
        state: the lifecycle's state as it is now.
    """

    def __init__(self, services: Services, training: Training, state: Callable[[], State]) -> None:
        """Nothing is asked yet."""
        self.sight = Sight()
        self._services = services
        self._training = training
        self._state = state
        self._client: SampleClient | None = None
        self._address: str | None = None
        self._wanted: set[str] = set()
        self._trouble: str | None = None

    def want_snapshot(self, uid: str) -> None:
        """Take the snapshot of a fine-tune; the answer comes into ``sight.snapshots``."""
        self._wanted.add(uid)

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._repeat(self._ask_samples, _SUMMARY_EVERY))
                tasks.create_task(self._repeat(self._ask_services, _HEALTH_EVERY))
        finally:
            if self._client is not None:
                await self._client.close()

    async def _repeat(self, ask: Callable[[], Any], every: float) -> None:
        while True:
            await ask()
            await asyncio.sleep(every)

    async def _ask_samples(self) -> None:
        client = await self._connected()
        state = self._state()
        try:
            for uid in sorted(self._wanted):
                self.sight.snapshots[uid] = await client.snapshot(uid)
                self._wanted.discard(uid)
            await self._note_served(client, state)
            seen = await client.summary(state.since)
            self.sight.trial = await client.trial(state)
        except grpc.aio.AioRpcError as error:
            self._complain(f"the sample service does not answer: {error.details()}")
            return
        self._trouble = None
        self.sight.seen = seen

    def _complain(self, trouble: str) -> None:
        # at its start it does not answer yet; the same trouble every second says nothing new
        expected = not self._services.named("serve").ever_healthy
        if trouble != self._trouble:
            self._trouble = trouble
            _log.log(logging.DEBUG if expected else logging.WARNING, "%s", trouble)

    async def _note_served(self, client: SampleClient, state: State) -> None:
        """Note from where on a trial's answers count, once inference has its document."""
        revision = state.rollout.revision
        begun = state.canary is not None and state.canary.since is None
        if begun and self.sight.revision == revision:
            # tagged, so that a trial of any length finds it again
            self.sight.served = (revision, await client.snapshot(f"canary-{revision}"))

    async def _connected(self) -> SampleClient:
        address = self._services.named("serve").listen or ""
        if self._client is None or self._address != address:
            if self._client is not None:
                await self._client.close()
            self._client, self._address = SampleClient(address), address
        return self._client

    async def _ask_services(self) -> None:
        healthy = await asyncio.gather(
            *(asyncio.to_thread(get, service.http, "/healthz") for service in self._services.all)
        )
        for service, answer in zip(self._services.all, healthy, strict=True):
            service.healthy = answer is not None and service.child is not None
            service.ever_healthy |= service.healthy
        status = await asyncio.to_thread(get_status, self._services.named("inference").http)
        self._note_inference(status)
        trainer = self._training.child
        self.sight.trainer = (
            await asyncio.to_thread(get_status, self._training.http) if trainer else None
        )

    def _note_inference(self, status: Mapping[str, Any] | None) -> None:
        revision = status.get("revision") if status else None
        self.sight.revision = revision if isinstance(revision, int) else None
        refused = status.get("refused") if status else None
        if isinstance(refused, dict):
            self.sight.refused = {
                int(version): str(reason)
                for version, reason in refused.items()
                if str(version).isdigit()
            }
        else:
            self.sight.refused = {}
