"""kopf's part: it watches, keeps the indices, and says whose turn it is.

Only indices and raw events are used: they write nothing to the objects. Handlers of changes would put kopf's
bookkeeping on them as annotations, and timers, daemons and delete handlers would put finalizers on them, which block
their deletion when the operator is gone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from hemline_operator.driver._cache import OWN, SELECTOR, WATCHED, Cache, key_of, trimmed
from hemline_operator.driver._queue import WorkQueue
from hemline_operator.kube import Kind
from hemline_operator.plan import Key

__all__ = ["login", "registry", "watch_settings"]


async def login(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    """The service account inside a cluster, else the current kubeconfig.

    Raises:
        kopf.LoginError: there is neither.
    """
    found = kopf.login_with_service_account(settings=settings) or kopf.login_with_kubeconfig(
        settings=settings
    )
    if found is None:
        raise kopf.LoginError("neither a service account nor a kubeconfig: set KUBECONFIG")
    return found


def watch_settings() -> kopf.OperatorSettings:
    """How kopf watches: what carries the operator's label, with every wait bounded."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # events are posted by the operator itself, once each
    settings.scanning.disabled = True  # needs a role for all CRDs and namespaces of the cluster
    settings.peering.standalone = True  # one replica, replaced by Recreate
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1
    settings.networking.request_timeout = 60
    settings.networking.connect_timeout = 10
    for kind in WATCHED:
        if kind not in OWN:
            settings.watching.label_selectors[kopf_name(kind)] = SELECTOR
    return settings


def kopf_name(kind: Kind) -> tuple[str, str, str]:
    """A kind as kopf's selectors name it."""
    return (kind.group, kind.version, kind.plural)


def registry(
    cache: Cache,
    queue: WorkQueue,
    *,
    seen: asyncio.Event,
    startup: Callable[[], Awaitable[None]],
    cleanup: Callable[[], Awaitable[None]],
) -> kopf.OperatorRegistry:
    """Handlers of every kind.

    Args:
        cache: is given kopf's indices.
        queue: is given the classifier of every object that changed.
        seen: is set with the first event, which kopf hands out once every index is complete.
        startup: runs before anything is watched.
        cleanup: runs after everything.
    """
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(id="login", registry=handlers)
    async def on_login(settings: kopf.OperatorSettings, **_: Any) -> kopf.ConnectionInfo:
        return await login(settings)

    @kopf.on.startup(id="start", registry=handlers)
    async def on_startup(**kwargs: Any) -> None:
        cache.indices = {kind.plural: kwargs[kind.plural] for kind in WATCHED}
        await startup()

    @kopf.on.cleanup(id="stop", registry=handlers)
    async def on_cleanup(**_: Any) -> None:
        await cleanup()

    for kind in WATCHED:
        _watch(handlers, kind, queue, seen)
    return handlers


def _watch(
    handlers: kopf.OperatorRegistry, kind: Kind, queue: WorkQueue, seen: asyncio.Event
) -> None:
    def index(body: kopf.Body, **_: Any) -> dict[Key, Any] | None:
        # What names no classifier is kept too: the comparison with the API server would miss it for ever.
        key = key_of(kind, body) or Key(body["metadata"]["namespace"], "")
        return {key: trimmed(kind, body)}

    async def changed(body: kopf.Body, **_: Any) -> None:
        seen.set()
        if key := key_of(kind, body):
            queue.add(key)

    kopf.index(*kopf_name(kind), id=kind.plural, registry=handlers)(index)
    kopf.on.event(*kopf_name(kind), id=f"{kind.plural}-changed", registry=handlers)(changed)
