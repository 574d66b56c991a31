"""One inference process: the rollout document, the models, the broker and the endpoints, put together."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hemline_api.topics import Topics
from hemline_broker import BrokerError, Retry, connect
from hemline_inference._console import Console
from hemline_inference._meter import Meter
from hemline_inference._pipeline import Pipeline
from hemline_inference._rollout import RolloutFile
from hemline_inference._settings import Settings
from hemline_inference._source import Models
from hemline_inference._swap import Swapper
from hemline_runtime import HttpEndpoint, Metrics, stop_event
from hemline_store import Lake

__all__ = ["Service", "serve"]

_log = logging.getLogger(__name__)


class Service:
    """Everything of one process.

    Args:
        settings: what it is to do.

    Raises:
        ApiError: a name cannot be used.
        StoreError: the lake's address cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected before ``run``."""
        self.settings = settings
        self._topics = Topics(settings.classifier, settings.namespace)
        lake = Lake(settings.lake, settings.classifier)
        self.metrics = Metrics()
        self._meter = Meter(self.metrics)
        self._rollout = RolloutFile(settings.rollout)
        source = Models(
            lake.models, cache=_cache(settings.cache, lake.uri), threads=settings.threads
        )
        self._models = Swapper(source, self._rollout.poll, settings.timing, self._meter)
        self._console = Console() if settings.console else None
        self._broker_problem: str | None = "not connected to the broker yet"
        self._stopping = False

    def healthy(self) -> str | None:
        """Why this process cannot answer images; None when it can."""
        if self._models.serving is None:
            return f"no model yet: {self._rollout.problem or self._models.problem}"
        if self._broker_problem is not None:
            return self._broker_problem
        if self._meter.last_error is not None:
            return f"the engine fails: {self._meter.last_error}"
        return None

    def status(self) -> Mapping[str, Any]:
        """What /status shows."""
        serving = self._models.serving
        problem = self._rollout.problem or self._models.problem or self._broker_problem
        problem = problem or self._meter.problem
        return {
            "classifier": self.settings.classifier,
            "pid": os.getpid(),
            "state": self._state(),
            "revision": serving.rollout.revision if serving else None,
            "serving": list(serving.versions()) if serving else [],
            "refused": {str(version): why for version, why in self._models.refused.items()},
            "problem": problem,
            **self._meter.status(),
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop`` is set.

        Raises:
            BrokerError: the broker refuses for good. While it is only away, it is waited for.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._models.follow())
                await self._sessions(stop)
                following.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            self._stopping = True
            if self._console is not None:
                self._console.close()

    async def _sessions(self, stop: asyncio.Event) -> None:
        timing = self.settings.timing
        pause = timing.retry_first
        while not stop.is_set():
            try:
                await self._until_connected_or(stop, asyncio.create_task(self._session(stop)))
            except* BrokerError as group:
                error = _first(group)
                if not getattr(error, "retryable", False):
                    raise
                self._broker_problem = f"the broker is away: {error}"
                _log.warning("%s; trying again in %.1f s", error, pause)
                await _sleep(stop, pause)
                pause = min(2 * pause, timing.retry_most)
            else:
                pause = timing.retry_first

    async def _until_connected_or(self, stop: asyncio.Event, session: "asyncio.Task[None]") -> None:
        """Wait for the session, which ends by itself on ``stop``; but not while it still looks for its broker."""
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, session}, return_when=asyncio.FIRST_COMPLETED)
            if not session.done() and self._broker_problem is not None:
                session.cancel()
                await asyncio.wait({session})
                return
            await session
        finally:
            stopping.cancel()
            if not session.done():
                session.cancel()
                await asyncio.wait({session})

    async def _session(self, stop: asyncio.Event) -> None:
        settings, topics, limits = self.settings, self._topics, self.settings.limits
        self._broker_problem = self._broker_problem or "connecting to the broker again"
        async with connect(settings.broker, observer=self._meter) as broker:
            # Images that came before the first inference process are answered too: nothing may be lost.
            await broker.ensure(topics.images, settings.group, start="oldest")
            await broker.ensure(topics.predictions)
            await broker.ensure(topics.dead)
            subscription = broker.subscribe(
                topics.images,
                group=settings.group,
                in_flight=limits.prefetch_images,
                in_flight_bytes=limits.prefetch_bytes,
                # What is delivered again here failed for want of memory or by a fault of the engine, never of the
                # image: giving up would throw good images away.
                retry=Retry(attempts=None),
                dead_letter=topics.dead,
            )
            async with subscription:
                self._broker_problem = None
                pipeline = Pipeline(
                    broker,
                    subscription,
                    topics.predictions,
                    self._models,
                    self._meter,
                    settings,
                    self._console,
                )
                _log.info("answering %s", topics.images)
                await pipeline.run(stop)

    def _state(self) -> str:
        if self._stopping:
            return "draining"
        return "waiting" if self.healthy() else "serving"


async def serve(settings: Settings) -> None:
    """Run one process until SIGTERM or SIGINT, with its endpoints.

    Raises:
        UsageFailure: the HTTP address cannot be used.
        ApiError, StoreError, BrokerError: as ``Service`` says.
    """
    service = Service(settings)
    endpoint = HttpEndpoint(
        settings.http,
        registry=service.metrics.registry,
        status=service.status,
        healthy=service.healthy,
    )
    with endpoint:
        _log.info("listening on port %d: /metrics /healthz /status", endpoint.port)
        async with stop_event() as stop:
            await service.run(stop)
        _log.info("stopped")


def _cache(root: Path, lake: str) -> Path:
    """A folder of its own for each lake and classifier, whose versions share their numbers."""
    return root / hashlib.sha256(lake.encode()).hexdigest()[:16]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
