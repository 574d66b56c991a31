"""The figures that `serve` exports."""

from hemline_api import metrics as names
from hemline_runtime import Metrics

__all__ = ["ServeMetrics"]


class ServeMetrics:
    """What its streams do; ``LakeGauges`` tells what the lake holds."""

    def __init__(self, metrics: Metrics) -> None:
        """Register everything."""
        self.samples = metrics.counter(names.SERVE_SAMPLES)
        self.bytes = metrics.counter(names.SERVE_BYTES)
        self.open_streams = metrics.gauge(names.SERVE_STREAMS)
        self.stall_seconds = metrics.counter(names.SERVE_STALL_SECONDS)
        # A series that begins with its first event has no increase to show for it.
        for service in ("mnist", "samples"):
            self.samples.labels(service)
            self.bytes.labels(service)
