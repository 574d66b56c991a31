"""The operator's process: everything put together."""

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, Final

import kopf
from aiohttp import web
from prometheus_client import CollectorRegistry

from hemline_operator.driver._asker import Asker
from hemline_operator.driver._cache import Cache
from hemline_operator.driver._discovery import discover, missing_definitions
from hemline_operator.driver._freshness import Freshness
from hemline_operator.driver._http import serve
from hemline_operator.driver._lifecycle_metrics import LifecycleMetrics
from hemline_operator.driver._metrics import OperatorMetrics
from hemline_operator.driver._queue import WorkQueue
from hemline_operator.driver._reconciler import Reconciler
from hemline_operator.driver._settings import Settings
from hemline_operator.driver._watch import login, registry, watch_settings
from hemline_operator.driver._writer import Writer
from hemline_operator.kube import KubeApi, KubeError
from hemline_operator.plan import MANAGER

__all__ = ["run"]

logger = logging.getLogger(__name__)

_DEFINITIONS_SECONDS: Final = 2.0


async def run(settings: Settings) -> None:
    """Run until SIGTERM.

    Raises:
        kopf.LoginError: there is neither a service account nor a kubeconfig.
    """
    operator = _Operator(settings)
    await login(operator.watching)
    await kopf.operator(
        registry=registry(
            operator.cache,
            operator.queue,
            seen=operator.seen,
            startup=operator.start,
            cleanup=operator.stop,
        ),
        settings=operator.watching,
        namespaces=list(settings.namespaces),
        clusterwide=not settings.namespaces,
        standalone=True,
    )


class _Operator:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.watching = watch_settings()
        self.cache = Cache()
        self.queue = WorkQueue()
        self.seen = asyncio.Event()
        self.metrics = OperatorMetrics(CollectorRegistry())
        LifecycleMetrics(self.cache, self.metrics.registry)
        self.api = KubeApi(lambda: login(self.watching), manager=MANAGER)
        poll = settings.platform.poll_seconds
        self.asker = Asker(self.api, keep_seconds=poll * 0.8)
        writer = Writer(self.api, self.metrics, resync_seconds=settings.resync_seconds)
        self.reconciler = Reconciler(
            self.cache, self.asker, writer, self.metrics, settings.platform
        )
        self.freshness = Freshness(self.api, self.cache, self.metrics, settings.namespaces)
        self.tasks: list[asyncio.Task[None]] = []
        self.waiting: str | None = "starting"
        self.server: web.AppRunner | None = None
        self.metrics.queue.set_function(self.queue.overdue)

    async def start(self) -> None:
        self.server = await serve(
            self.settings.http,
            registry=self.metrics.registry,
            unhealthy=self.unhealthy,
            unready=lambda: self.waiting or self.unhealthy(),
            status=self.status,
        )
        await self._await_definitions()
        self.tasks = [
            asyncio.create_task(self._named(name, coroutine), name=name)
            for name, coroutine in (
                ("work", self._work()),
                ("resync", self._resync()),
                ("freshness", self._compare()),
            )
        ]

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        if self.server:
            await self.server.cleanup()
        await self.asker.close()
        await self.api.close()

    def unhealthy(self) -> str | None:
        for task in self.tasks:
            if task.done():
                return f"{task.get_name()} has ended"
        if self.freshness.behind_seconds() > self.settings.stale_seconds:
            return f"the watch of {self.freshness.slowest()} is dead"
        return None

    def status(self) -> Mapping[str, Any]:
        return {
            "classifiers": len(self.cache.classifiers()),
            "queue": len(self.queue),
            "overdue": self.queue.overdue(),
            "watching": self.seen.is_set(),
            "waiting": self.waiting,
            "behindSeconds": round(self.freshness.behind_seconds(), 1),
        }

    async def _named(self, name: str, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except Exception:
            # The liveness probe fails from here on, and this line says why.
            logger.exception("%s has ended", name)
            raise

    async def _await_definitions(self) -> None:
        # kopf looks once at its start for what can be watched, and would wait for ever for what comes later.
        while True:
            try:
                problem = await missing_definitions(self.api)
            except KubeError as error:
                problem = str(error)
            if problem is not None and problem != self.waiting:
                logger.warning("waiting: %s", problem)
            self.waiting = problem
            if problem is None:
                return
            await asyncio.sleep(_DEFINITIONS_SECONDS)

    async def _work(self) -> None:
        # The first event comes when every index is complete: a look before that would see half of the world.
        await self.seen.wait()
        await self._discover()
        await self.queue.run(self.reconciler.reconcile, workers=self.settings.workers)

    async def _discover(self) -> None:
        try:
            capabilities = await discover(self.api)
        except KubeError as error:
            logger.warning("what the cluster serves stays as it was last seen: %s", error)
            return
        if self.reconciler.discovered(capabilities):
            logger.info("kinds of other operators that the cluster serves: %s", capabilities)
            self._look_at_all()

    def _look_at_all(self) -> None:
        for key in self.cache.classifiers():
            self.queue.add(key)

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(self.settings.resync_seconds)
            self._look_at_all()

    async def _compare(self) -> None:
        # Not only once the first event has come: a watch that never began is as dead as one that ended.
        while True:
            await asyncio.sleep(self.settings.freshness_seconds)
            await self._discover()
            if await self.freshness.check():
                logger.warning("a watch of %s is behind", self.freshness.slowest())
