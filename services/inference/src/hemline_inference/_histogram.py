"""A Prometheus histogram that takes a whole batch of values at once.

The client library's own takes one value a call, which for two values an image was the largest cost of the event loop.
"""

import threading
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from hemline_api.metrics import Metric

__all__ = ["BatchHistogram"]


class BatchHistogram(Collector):
    """A histogram of the table of metrics, exported as any other.

    Args:
        metric: its declaration; must be of the kind "histogram".
        registry: where it is shown.

    Raises:
        ValueError: the table declares another kind.
    """

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        """Begin at nothing."""
        if metric.kind != "histogram":
            raise ValueError(
                f"{metric.name} is declared as a {metric.kind}, received a use as histogram"
            )
        self._metric = metric
        self._bounds = np.array(metric.buckets, np.float64)
        self._names = [*map(floatToGoString, metric.buckets), "+Inf"]
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, ...], npt.NDArray[np.int64]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        if not metric.labels:
            self.observe(np.empty(0))
        registry.register(self)

    def observe(self, values: npt.NDArray[np.floating], *labels: object, times: int = 1) -> None:
        """Count each value `times` times under these label values."""
        key = tuple(map(str, labels))
        # A value on a bound belongs to the bucket below it: buckets say "less or equal".
        places = np.searchsorted(self._bounds, values, side="left")
        counts = np.bincount(places, minlength=len(self._names)) * times
        with self._lock:
            known = self._counts.get(key)
            self._counts[key] = counts if known is None else known + counts
            self._sums[key] = self._sums.get(key, 0.0) + float(values.sum()) * times

    def remove(self, *labels: object) -> None:
        """Forget what was counted under these label values."""
        key = tuple(map(str, labels))
        with self._lock:
            self._counts.pop(key, None)
            self._sums.pop(key, None)

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Its name, for the registry's check that each is used once."""
        return [
            HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        ]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What is exported now."""
        (family,) = self.describe()
        with self._lock:
            for key, counts in self._counts.items():
                totals = counts.cumsum().tolist()
                family.add_metric(key, list(zip(self._names, totals, strict=True)), self._sums[key])
        return [family]
