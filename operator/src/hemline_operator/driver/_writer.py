"""Takes a plan's actions, one after the other."""

import hashlib
import logging
import time
from collections.abc import Awaitable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from hemline_operator.driver._cache import CHILDREN, trimmed
from hemline_operator.driver._metrics import OperatorMetrics
from hemline_operator.kube import (
    FINE_TUNE,
    Exists,
    Forbidden,
    KubeApi,
    KubeError,
    Missing,
    Refused,
    kind_of,
)
from hemline_operator.plan import (
    MANAGER,
    Action,
    Announce,
    Apply,
    Create,
    Delete,
    Key,
    Patch,
)

__all__ = ["Writer"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_WATCHED: Final = frozenset(kind.name for kind in CHILDREN)
_UNSEEN_SECONDS: Final = 30.0
"""For which a FineTune counts that the watch has not brought: it is on its way, or was deleted at once."""


class Writer:
    """Writes to the API what a plan says.

    Args:
        api: the API.
        metrics: counts every write.
        resync_seconds: children of kinds that are not watched are applied again after this time.
    """

    def __init__(self, api: KubeApi, metrics: OperatorMetrics, *, resync_seconds: float) -> None:
        self._api = api
        self._metrics = metrics
        self._resync = resync_seconds
        self._applied: dict[Key, dict[str, tuple[int, float]]] = {}
        self._failures: dict[Key, dict[str, str]] = {}
        self._made: dict[Key, dict[str, tuple[Mapping[str, Any], float]]] = {}

    def failures(self, key: Key) -> Mapping[str, str]:
        """Children of a classifier that the API refused when they were last applied, and why."""
        return self._failures.get(key, {})

    def unseen(self, key: Key, seen: Collection[str]) -> list[Mapping[str, Any]]:
        """The FineTunes made for a classifier whose uids are not among those ``seen`` yet.

        The watch of classifiers may bring the count of what was made before the watch of FineTunes brings what was
        made: without these the standing policy would make another.
        """
        now = time.monotonic()
        made = self._made.pop(key, {})
        left = {
            uid: (body, until)
            for uid, (body, until) in made.items()
            if uid not in seen and until > now
        }
        if left:
            self._made[key] = left
        return [body for body, _ in left.values()]

    def forget(self, key: Key) -> None:
        """Drop what is known of a classifier that is gone."""
        self._made.pop(key, None)
        self._applied.pop(key, None)
        self._failures.pop(key, None)

    async def take(self, key: Key, actions: Sequence[Action]) -> None:
        """Take every action in order.

        Raises:
            KubeError: one failed; those after it were not taken. A child that is refused is noted instead.
        """
        for action in actions:
            match action:
                case Apply():
                    await self._apply(key, action.manifest)
                case Create():
                    made = await self._create(action.manifest)
                    if made is not None and action.manifest["kind"] == FINE_TUNE.name:
                        entry = trimmed(FINE_TUNE, made), time.monotonic() + _UNSEEN_SECONDS
                        self._made.setdefault(key, {})[made["metadata"]["uid"]] = entry
                case Announce():
                    await self._create(_event(action))
                case Patch():
                    await self._patch(action)
                case Delete():
                    await self._delete(key, action)

    async def _apply(self, key: Key, manifest: Mapping[str, Any]) -> None:
        kind = manifest["kind"]
        what = f"{kind} {manifest['metadata']['name']}"
        digest = hash(str(manifest["metadata"]["annotations"]))
        applied = self._applied.setdefault(key, {})
        before = applied.get(what)
        if kind not in _WATCHED and before and before[0] == digest and before[1] > time.monotonic():
            return
        try:
            await self._count(kind, self._api.apply(manifest))
        except (Refused, Forbidden, Missing) as error:
            self._note(key, what, error)
            return
        logger.info("%s: applied %s", key, what)
        self._failures.get(key, {}).pop(what, None)
        applied[what] = (digest, time.monotonic() + self._resync)

    async def _delete(self, key: Key, action: Delete) -> None:
        what = f"{action.kind.name} {action.name}"
        call = self._api.delete(action.kind, action.namespace, action.name, uid=action.uid)
        try:
            await self._count(action.kind.name, call)
        except Forbidden as error:
            # A role may leave out other operators' kinds: what is left over is told, and hinders nothing.
            self._note(key, what, error)
            return
        logger.info("%s: deleted %s", key, what)
        self._failures.get(key, {}).pop(what, None)
        self._applied.get(key, {}).pop(what, None)

    def _note(self, key: Key, what: str, error: KubeError) -> None:
        failures = self._failures.setdefault(key, {})
        if failures.get(what) != str(error):
            logger.warning("%s: %s: %s", key, what, error)
        failures[what] = str(error)

    async def _create(self, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        meta = manifest["metadata"]
        try:
            made = await self._count(manifest["kind"], self._api.create(manifest))
        except Exists:
            return None
        except Missing as error:
            logger.info("%s", error)  # the namespace is gone
            return None
        logger.info("%s: made %s %s", meta["namespace"], manifest["kind"], meta["name"])
        return made

    async def _patch(self, action: Patch) -> None:
        changes: dict[str, Any] = dict(action.changes)
        if action.resource_version is not None:
            meta = {**changes.get("metadata", {}), "resourceVersion": action.resource_version}
            changes["metadata"] = meta
        try:
            await self._count(
                action.kind.name,
                self._api.patch(
                    action.kind,
                    action.namespace,
                    action.name,
                    changes,
                    subresource=action.subresource,
                ),
            )
        except Missing:
            # Gone since it was observed: its deletion is an event of its own.
            logger.debug("%s %s is gone", action.kind.name, action.name)

    async def _count(self, kind: str, call: Awaitable[T]) -> T:
        outcome = "ok"
        try:
            return await call
        except KubeError as error:
            outcome = type(error).__name__
            raise
        finally:
            self._metrics.writes.labels(kind, outcome).inc()


def _event(action: Announce) -> dict[str, Any]:
    about = action.about
    meta = about["metadata"]
    kind = kind_of(about)
    digest = hashlib.sha256(f"{meta['uid']} {action.reason} {action.message}".encode()).hexdigest()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{digest[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": kind.api_version,
            "kind": kind.name,
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
        },
        "reason": action.reason,
        "message": action.message[:1024],
        "type": action.type,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
    }
