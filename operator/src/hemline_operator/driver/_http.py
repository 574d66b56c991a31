"""/metrics, /healthz, /readyz and /status of the operator."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

__all__ = ["serve"]


async def serve(
    address: str,
    *,
    registry: CollectorRegistry,
    unhealthy: Callable[[], str | None],
    unready: Callable[[], str | None],
    status: Callable[[], Mapping[str, Any]],
) -> web.AppRunner:
    """Serve until the runner is cleaned up.

    Args:
        address: host:port.
        registry: what /metrics shows.
        unhealthy: the reason why the process should be started again; None: it is well.
        unready: what it waits for before it can work; None: it works.
        status: what /status shows.
    """

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(unhealthy())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(unready())

    async def show(_: web.Request) -> web.Response:
        return web.json_response(dict(status()))

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", metrics),
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/status", show),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, _, port = address.rpartition(":")
    await web.TCPSite(runner, host, int(port)).start()
    return runner


def _verdict(problem: str | None) -> web.Response:
    return web.Response(text=f"{problem or 'ok'}\n", status=503 if problem else 200)
