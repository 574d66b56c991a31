"""The figures that `serve` exports."""

from hemline_api import metrics as names
from hemline_runtime import Metrics
from hemline_store.tables import Summary

__all__ = ["ServeMetrics"]


class ServeMetrics:
    """Counters of streams, and gauges of what the lake holds as of the last summary."""

    def __init__(self, metrics: Metrics) -> None:
        """Register everything."""
        self.samples = metrics.counter(names.SERVE_SAMPLES)
        self.bytes = metrics.counter(names.SERVE_BYTES)
        self.open_streams = metrics.gauge(names.SERVE_STREAMS)
        self.stall_seconds = metrics.counter(names.SERVE_STALL_SECONDS)
        self._labelled = metrics.gauge(names.SERVE_LABELLED)
        self._waiting = metrics.gauge(names.SERVE_WAITING)
        self._accuracy = metrics.gauge(names.SERVE_LIVE_ACCURACY)
        self._accuracy_samples = metrics.gauge(names.SERVE_LIVE_SAMPLES)

    def show(self, summary: Summary) -> None:
        """Bring the gauges up to a summary."""
        self._labelled.labels("stream").set(summary.stream_labelled)
        self._labelled.labels("import").set(summary.labelled - summary.stream_labelled)
        self._waiting.set(summary.waiting_for_label)
        for version in summary.versions:
            name = str(version.version)
            self._accuracy_samples.labels(name).set(version.labelled)
            if version.labelled:
                self._accuracy.labels(name).set(version.correct / version.labelled)
