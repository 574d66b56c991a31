"""One look at one classifier: observe, plan, ask, plan again, act."""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from hemline_operator.driver._asker import Asker
from hemline_operator.driver._cache import CHILDREN, Cache
from hemline_operator.driver._metrics import OperatorMetrics
from hemline_operator.driver._writer import Writer
from hemline_operator.kube import CLASSIFIER, FINE_TUNE, JOB, POD, Conflict, Ending
from hemline_operator.plan import (
    GRPC_PORT,
    Capabilities,
    Fact,
    Key,
    Observed,
    Plan,
    Platform,
    Question,
    plan,
    ready_pods,
)

__all__ = ["Reconciler"]

logger = logging.getLogger(__name__)

_ROUNDS: Final = 8
_AFTER_CONFLICT: Final = 0.2
_WHILE_ENDING: Final = 15.0
"""Seconds for which a namespace that is being deleted is left alone: each child that goes would be made again, and be
refused."""


class Reconciler:
    """Brings classifiers to where they should be. It remembers nothing that the cluster does not say too."""

    def __init__(
        self,
        cache: Cache,
        asker: Asker,
        writer: Writer,
        metrics: OperatorMetrics,
        platform: Platform,
    ) -> None:
        self._cache = cache
        self._asker = asker
        self._writer = writer
        self._metrics = metrics
        self._platform = platform
        self._ending: dict[str, float] = {}

    def discovered(self, capabilities: Capabilities) -> bool:
        """Plan from now on with what the cluster was found to serve; returns whether that is something else."""
        before = self._platform.capabilities
        self._platform = replace(self._platform, capabilities=capabilities)
        return before != capabilities

    async def reconcile(self, key: Key) -> float | None:
        """Look at one classifier; returns the seconds after which to look again.

        Raises:
            KubeError: the API refused a step. What was done before it stays, and the next look goes on from there.
        """
        if (left := self._ending.get(key.namespace, 0.0) - time.monotonic()) > 0:
            return left
        self._ending.pop(key.namespace, None)
        started = time.perf_counter()
        outcome = "error"
        try:
            planned = await self._plan(key)
            failed = set(self._writer.failures(key))
            await self._writer.take(key, planned.actions)
            outcome = "ok"
            self._metrics.succeeded(key)
            if set(self._writer.failures(key)) != failed:
                return _AFTER_CONFLICT
        except Conflict as error:
            # What the watch brought was older than what is there: the newer one is on its way.
            logger.debug("%s: %s", key, error)
            outcome = "conflict"
            return _AFTER_CONFLICT
        except Ending as error:
            logger.info("%s: left alone for now: %s", key, error)
            outcome = "ending"
            self._ending[key.namespace] = time.monotonic() + _WHILE_ENDING
            return _WHILE_ENDING
        finally:
            self._metrics.reconciles.labels(outcome).inc()
            self._metrics.seconds.observe(time.perf_counter() - started)
        if not self._cache.of(CLASSIFIER, key) and not self._cache.of(FINE_TUNE, key):
            self._forget(key)
        return planned.again_seconds

    async def _plan(self, key: Key) -> Plan:
        now = datetime.now(UTC)
        facts: dict[Question, Fact] = {}
        for _ in range(_ROUNDS):
            observed = self._observe(key, now, facts)
            planned = plan(observed, self._platform)
            if not planned.questions:
                return planned
            servers = [
                f"{pod['status']['podIP']}:{GRPC_PORT}" for pod in ready_pods(observed, "serve")
            ]
            facts |= await self._asker.ask(key, planned.questions, servers)
        raise RuntimeError(f"{key}: the plan asked {_ROUNDS} times and has not come to an end")

    def _observe(self, key: Key, now: datetime, facts: dict[Question, Fact]) -> Observed:
        classifiers = self._cache.of(CLASSIFIER, key)
        fine_tunes = self._cache.of(FINE_TUNE, key)
        fine_tunes += self._writer.unseen(key, {one["metadata"]["uid"] for one in fine_tunes})
        return Observed(
            key=key,
            now=now,
            classifier=classifiers[0] if classifiers else None,
            fine_tunes=tuple(fine_tunes),
            children={
                (kind.name, one["metadata"]["name"]): one
                for kind in CHILDREN
                for one in self._cache.of(kind, key)
            },
            jobs={one["metadata"]["name"]: one for one in self._cache.of(JOB, key)},
            pods={one["metadata"]["name"]: one for one in self._cache.of(POD, key)},
            facts=facts,
            failures=self._writer.failures(key),
        )

    def _forget(self, key: Key) -> None:
        self._writer.forget(key)
        self._asker.forget(key)
        self._metrics.forget(key)
