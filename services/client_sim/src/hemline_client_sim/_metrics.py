"""The simulator's figures for Prometheus."""

from prometheus_client import Counter

from hemline_api.metrics import (
    SIM_ACCURACY,
    SIM_ANSWERED,
    SIM_LABELS,
    SIM_LATENCY,
    SIM_REPEATED,
    SIM_SENT,
)
from hemline_client_sim._status import Status
from hemline_runtime import Metrics

__all__ = ["SimulatorMetrics"]


class SimulatorMetrics:
    """Counters follow the books; latencies are observed one by one."""

    def __init__(self, metrics: Metrics) -> None:
        """Register the metrics."""
        self._sent = metrics.counter(SIM_SENT)
        self._answered = metrics.counter(SIM_ANSWERED)
        self._labels = metrics.counter(SIM_LABELS)
        self._repeated = metrics.counter(SIM_REPEATED)
        self._accuracy = metrics.gauge(SIM_ACCURACY)
        self._latency = metrics.histogram(SIM_LATENCY)
        self._known: dict[Counter, int] = {}

    def observe_latency(self, seconds: float) -> None:
        """One answer came."""
        self._latency.observe(seconds)

    def update(self, status: Status) -> None:
        """Bring the counters to the books: a resumed run's count from its beginning."""
        for counter, value in (
            (self._sent, status.sent + status.corrupt),
            (self._answered, status.answered),
            (self._labels, status.labels),
            (self._repeated, status.repeats),
        ):
            counter.inc(value - self._known.get(counter, 0))
            self._known[counter] = value
        self._accuracy.clear()
        for share in status.window:
            self._accuracy.labels(str(share.version)).set(share.right / share.total)
