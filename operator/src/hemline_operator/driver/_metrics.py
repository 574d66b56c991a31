"""The operator's own metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from hemline_api import metrics as table
from hemline_api.metrics import Metric
from hemline_operator.plan import Key

__all__ = ["OperatorMetrics"]


class OperatorMetrics:
    """What a look at a classifier and a write to the API count into."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # `_created` series double the number of series and nothing of ours reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry
        self.reconciles = _counter(table.OPERATOR_RECONCILES, registry)
        self.writes = _counter(table.OPERATOR_WRITES, registry)
        self.queue = _gauge(table.OPERATOR_QUEUE, registry)
        self.last_success = _gauge(table.OPERATOR_LAST_SUCCESS, registry)
        self.watch_behind = _gauge(table.OPERATOR_WATCH_BEHIND, registry)
        seconds = table.OPERATOR_RECONCILE_SECONDS
        self.seconds = Histogram(
            seconds.name, seconds.help, buckets=seconds.buckets, registry=registry
        )
        for outcome in ("ok", "conflict", "error"):
            self.reconciles.labels(outcome)
        ProcessCollector(registry=registry)
        self._known: set[Key] = set()

    def succeeded(self, key: Key) -> None:
        """A look at this classifier ended well."""
        self._known.add(key)
        self.last_success.labels(key.namespace, key.name).set_to_current_time()

    def forget(self, key: Key) -> None:
        """The classifier is gone: its series would stay for ever."""
        if key in self._known:
            self._known.remove(key)
            self.last_success.remove(key.namespace, key.name)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.help, metric.labels, registry=registry)


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.help, metric.labels, registry=registry)
