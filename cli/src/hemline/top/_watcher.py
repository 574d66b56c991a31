"""Looking at a running installation: asks every process over HTTP, tolerates each that does not answer."""

import json
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar

from pydantic import ValidationError

from hemline.top._exposition import Figures, latency_quantile, read_figures
from hemline.top._view import Inference, Observed
from hemline.up._status import UpStatus
from hemline_client_sim import Status

__all__ = ["Watcher"]

_Model = TypeVar("_Model", Status, UpStatus)
_TIMEOUT = 3.0
_MOST_BYTES = 8 << 20
_SPAN = 10.0
_WITH_LAG = ("inference", "collect")


class Watcher:
    """Reads ``/status`` and ``/metrics`` of all processes at once, as a context manager.

    Args:
        up_address: where ``hemline up`` answers now (it may change when it is started again), None when unknown.
        simulator_address: the same for a simulator.
    """

    def __init__(
        self,
        up_address: Callable[[], str | None],
        simulator_address: Callable[[], str | None],
    ) -> None:
        """Look at nothing yet."""
        self._up_address = up_address
        self._simulator_address = simulator_address
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="look")
        self._history: deque[tuple[float, Figures]] = deque()

    def __enter__(self) -> Self:
        """Nothing more to open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the threads."""
        self._threads.shutdown(cancel_futures=True)

    def look(self, notes: Sequence[tuple[float, str, str]] = ()) -> Observed:
        """One look; takes a few milliseconds, at most about two timeouts."""
        simulator = self._threads.submit(_read_model, self._simulator_address(), Status)
        up = _read_model(self._up_address(), UpStatus)
        addresses = [
            next((process.http for process in up.processes if process.name == name), None)
            for name in _WITH_LAG
            if up is not None
        ]
        figures = list(self._threads.map(_read_metrics, addresses))
        lag: dict[str, int] = {}
        for one in figures:
            for topic, number in one.lag.items():
                lag[topic] = lag.get(topic, 0) + number
        return Observed(
            now=time.time(),
            up=up,
            simulator=simulator.result(),
            inference=self._inference(figures[0] if figures else None),
            lag=lag,
            notes=notes,
        )

    def _inference(self, figures: Figures | None) -> Inference | None:
        if figures is None:
            return None
        now = time.monotonic()
        if self._history and figures.predictions < self._history[-1][1].predictions:
            self._history.clear()  # the process is a new one
        self._history.append((now, figures))
        while len(self._history) > 2 and self._history[1][0] < now - _SPAN:
            self._history.popleft()
        then, before = self._history[0]
        if now <= then:
            return Inference()
        return Inference(
            rate=(figures.predictions - before.predictions) / (now - then),
            latency_p50=latency_quantile(before.latency, figures.latency, 0.50),
            latency_p99=latency_quantile(before.latency, figures.latency, 0.99),
        )


def _read_model(address: str | None, model: type[_Model]) -> _Model | None:
    data = _get(address, "/status")
    if data is None:
        return None
    try:
        return model.model_validate(_json(data))
    except ValidationError:
        return None


def _read_metrics(address: str | None) -> Figures:
    data = _get(address, "/metrics")
    try:
        return read_figures(data.decode()) if data is not None else Figures()
    except ValueError:
        return Figures()


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _get(address: str | None, path: str) -> bytes | None:
    if address is None:
        return None
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=_TIMEOUT) as reply:
            body: bytes = reply.read(_MOST_BYTES)
    except (OSError, urllib.error.URLError):
        return None  # gone, or starting again: the next look may find it
    return body
