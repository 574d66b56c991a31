"""Whether the watches are alive: what they brought is compared with what the API server has.

A watch can die without an error (kopf's own issue tracker has years of it). The comparison notices whatever the cause
was, and after a while lets the liveness probe fail, so that the process is started again.
"""

import logging
import time
from collections.abc import Sequence

from hemline_operator.driver._cache import OWN, SELECTOR, WATCHED, Cache
from hemline_operator.driver._metrics import OperatorMetrics
from hemline_operator.kube import Kind, KubeApi, KubeError

__all__ = ["Freshness"]

logger = logging.getLogger(__name__)


class Freshness:
    """Compares every watched kind with the API server.

    Args:
        api: asked for metadata only.
        cache: what the watches brought.
        metrics: says how long each watch has been behind.
        namespaces: those looked after; empty: all.
    """

    def __init__(
        self, api: KubeApi, cache: Cache, metrics: OperatorMetrics, namespaces: Sequence[str]
    ) -> None:
        self._api = api
        self._cache = cache
        self._metrics = metrics
        self._namespaces: Sequence[str | None] = namespaces or (None,)
        self._missed: dict[Kind, dict[str, str]] = {}
        self._since: dict[Kind, float] = {}
        for kind in WATCHED:
            metrics.watch_behind.labels(kind.name)

    def behind_seconds(self) -> float:
        """How long the slowest watch has been behind."""
        now = time.monotonic()
        return max((now - since for since in self._since.values()), default=0.0)

    def slowest(self) -> str:
        """Its kind."""
        return min(self._since, key=lambda kind: self._since[kind]).name if self._since else ""

    async def check(self) -> bool:
        """Compare every kind once; returns whether any watch missed what it should have brought by now."""
        for kind in WATCHED:
            try:
                await self._check(kind)
            except KubeError as error:
                # An API server that cannot be asked says nothing about the watches, and was not watched either.
                logger.info("watches were not checked: %s", error)
                self._since.clear()
                self._missed.clear()
                return False
        return bool(self._since)

    async def _check(self, kind: Kind) -> None:
        selector = None if kind in OWN else SELECTOR
        there: dict[str, str] = {}
        for namespace in self._namespaces:
            there |= await self._api.versions(kind, namespace, selector)
        cached = self._cache.versions(kind)
        # An event may be on its way: only a version that was missing at the check before counts.
        differing = {uid: version for uid, version in there.items() if cached.get(uid) != version}
        differing |= dict.fromkeys(cached.keys() - there.keys(), "deleted")
        before = self._missed.get(kind, {})
        self._missed[kind] = differing
        if any(before.get(uid) == version for uid, version in differing.items()):
            self._since.setdefault(kind, time.monotonic())
        else:
            self._since.pop(kind, None)
        since = self._since.get(kind)
        self._metrics.watch_behind.labels(kind.name).set(
            time.monotonic() - since if since is not None else 0.0
        )
