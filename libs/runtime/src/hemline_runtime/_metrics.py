"""Prometheus metrics made from the one table of names, so that nothing undeclared is exported."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from hemline_api.metrics import Metric

__all__ = ["Metrics"]


class Metrics:
    """The metrics of one process, on a registry of its own.

    Memory, CPU and garbage collection of the process are on it too, under Prometheus' usual names.
    """

    def __init__(self) -> None:
        """Begin with the process's own figures."""
        # `_created` series double the number of series and nothing of ours reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def counter(self, metric: Metric) -> Counter:
        """A counter of the table.

        Raises:
            ValueError: the table declares another kind, or this process has it already.
        """
        _require(metric, "counter")
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def gauge(self, metric: Metric) -> Gauge:
        """A gauge of the table; raises as ``counter`` does."""
        _require(metric, "gauge")
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)

    def histogram(self, metric: Metric) -> Histogram:
        """A histogram of the table, with the table's buckets; raises as ``counter`` does."""
        _require(metric, "histogram")
        return Histogram(
            metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=self.registry
        )


def _require(metric: Metric, kind: str) -> None:
    if metric.kind != kind:
        raise ValueError(f"{metric.name} is declared as a {metric.kind}, received a use as {kind}")
