"""The endpoints every process has: ``/metrics``, ``/healthz`` and ``/status``."""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from hemline_runtime._cli import UsageFailure

__all__ = ["HttpEndpoint"]

_log = logging.getLogger(__name__)


class _QuietHandler(WSGIRequestHandler):
    timeout = 10  # seconds for one request: a stuck client may not hold a thread

    def log_message(self, format: str, *args: Any) -> None:
        _log.debug(format, *args)


class HttpEndpoint:
    """A small HTTP server on a thread of its own, as a context manager.

    Args:
        address: ``HOST:PORT``; port 0 picks a free one, read it from ``port``.
        registry: what ``/metrics`` shows.
        status: called for ``/status``; what it returns is sent as JSON.
        healthy: called for ``/healthz``; None is healthy (200), a reason is not (503).

    Raises:
        UsageFailure: the address is malformed or taken.
    """

    def __init__(
        self,
        address: str,
        *,
        registry: CollectorRegistry,
        status: Callable[[], Mapping[str, Any]],
        healthy: Callable[[], str | None],
    ) -> None:
        """Bind the address; requests are answered inside ``with``."""
        host, separator, port = address.rpartition(":")
        if not separator or not port.isdigit():
            raise UsageFailure(
                f"--http: received {address!r}, expected HOST:PORT (port 0 picks a free one)"
            )
        self._metrics = make_wsgi_app(registry)
        self._status = status
        self._healthy = healthy
        try:
            self._server = make_server(
                host.strip("[]") or "0.0.0.0",  # noqa: S104 - a pod's probes come from outside
                int(port),
                self._answer,
                ThreadingWSGIServer,
                _QuietHandler,
            )
        except (OSError, OverflowError) as error:
            raise UsageFailure(
                f"--http {address}: {error}; choose another address or port"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            name="http",
            daemon=True,
            kwargs={"poll_interval": 0.1},
        )

    @property
    def port(self) -> int:
        """The port that was bound."""
        return self._server.server_port

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "/")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _reply(start_response, "405 Method Not Allowed", "text/plain", b"only GET\n")
        if path == "/metrics":
            metrics: Iterable[bytes] = self._metrics(environ, start_response)
            return metrics
        if path == "/healthz":
            problem = self._healthy()
            status = "503 Service Unavailable" if problem else "200 OK"
            return _reply(start_response, status, "text/plain", (problem or "ok").encode() + b"\n")
        if path == "/status":
            body = json.dumps(self._status(), default=str).encode()
            return _reply(start_response, "200 OK", "application/json", body)
        return _reply(start_response, "404 Not Found", "text/plain", b"/metrics /healthz /status\n")


def _reply(start_response: StartResponse, status: str, kind: str, body: bytes) -> list[bytes]:
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
