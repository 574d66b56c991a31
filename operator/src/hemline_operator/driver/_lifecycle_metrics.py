"""The lifecycle of every classifier as metrics, read from what the watches brought when somebody asks."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from pydantic import ValidationError

from hemline_api import metrics as table
from hemline_api.metrics import FINE_TUNE_ENDS, Metric
from hemline_api.resources import FineTunePolicy, Mode
from hemline_operator.driver._cache import Cache
from hemline_operator.kube import CLASSIFIER, FINE_TUNE
from hemline_operator.plan import Key

__all__ = ["LifecycleMetrics"]

Manifest = Mapping[str, Any]


class LifecycleMetrics(Collector):
    """Says what the resources' status says, so that a new operator goes on where the old one was.

    Only the runs that ended are counted here: those since this process began, as a counter does.

    Args:
        cache: classifiers and their fine-tunes.
        registry: where the metrics are shown.
    """

    def __init__(self, cache: Cache, registry: CollectorRegistry) -> None:
        self._cache = cache
        self._began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._ended: dict[Key, Counter[str]] = {}
        self._counted: dict[Key, set[str]] = {}
        registry.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: there is nothing to read before the watches have begun."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Every classifier there is."""
        gauges = {
            metric: GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for metric in (
                table.LIFECYCLE_RUNNING,
                table.LIFECYCLE_FRESH,
                table.LIFECYCLE_DUE_AT,
                table.LIFECYCLE_REVISION,
                table.LIFECYCLE_LIVE,
            )
        }
        ends = table.LIFECYCLE_FINE_TUNES
        ended = CounterMetricFamily(ends.name, ends.help, labels=ends.labels)
        keys = {
            key: found[0]
            for key in self._cache.classifiers()
            if (found := self._cache.of(CLASSIFIER, key))
        }
        for key, classifier in sorted(keys.items()):
            labels = [key.namespace, key.name]
            runs = self._cache.of(FINE_TUNE, key)
            for metric, value in _values(classifier, runs).items():
                gauges[metric].add_metric(labels, value)
            counts = self._count(key, runs)
            for verdict in FINE_TUNE_ENDS:
                ended.add_metric([*labels, verdict], counts[verdict])
        for gone in self._ended.keys() - keys.keys():
            del self._ended[gone], self._counted[gone]
        yield from gauges.values()
        yield ended

    def _count(self, key: Key, runs: Iterable[Manifest]) -> Counter[str]:
        counts = self._ended.setdefault(key, Counter())
        finished = {
            run["metadata"]["uid"]: run
            for run in runs
            if run.get("status", {}).get("finishedAt", "") >= self._began
        }
        before = self._counted.get(key, set())
        for uid in finished.keys() - before:
            counts[_end_of(finished[uid])] += 1
        self._counted[key] = set(finished)
        return counts


def _values(classifier: Manifest, runs: Iterable[Manifest]) -> dict[Metric, float]:
    status = classifier.get("status", {})
    states = [run.get("status", {}) for run in runs]
    values: dict[Metric, float] = {
        table.LIFECYCLE_RUNNING: sum("job" in one and "finishedAt" not in one for one in states)
    }
    try:
        policy = FineTunePolicy.model_validate(classifier["spec"].get("fineTune", {}))
    except ValidationError:
        pass  # its Ready condition says so
    else:
        if policy.mode is Mode.ENABLED:
            values[table.LIFECYCLE_DUE_AT] = policy.every
    for metric, value in (
        (table.LIFECYCLE_FRESH, status.get("freshSamples")),
        (table.LIFECYCLE_LIVE, status.get("liveVersion")),
        (table.LIFECYCLE_REVISION, status.get("rollout", {}).get("revision")),
    ):
        if value is not None:
            values[metric] = value
    return values


def _end_of(run: Manifest) -> str:
    status = run["status"]
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    end = status.get("verdict") or conditions.get("Succeeded", {}).get("reason")
    return end if end in FINE_TUNE_ENDS else "Failed"
