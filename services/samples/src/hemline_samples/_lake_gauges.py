"""What the lake holds, as gauges: counted again every few seconds, and left out when they could not be counted."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hemline_api import metrics as names
from hemline_api.metrics import Metric
from hemline_samples._catalog import Catalog
from hemline_samples._errors import SamplesError
from hemline_store import StoreError
from hemline_store.tables import Summary

__all__ = ["LakeGauges"]

_log = logging.getLogger(__name__)

_EVERY_S: Final = 5.0
_STALE_S: Final = 60.0
_UNANSWERED_WITHIN: Final = timedelta(hours=1)
"""An image that is older and not answered is one that cannot be decoded: it waits for nothing."""
_VERSIONS: Final = 16
"""The newest: each fine-tune adds one, and a label must stay a bounded set."""


@dataclass(frozen=True, slots=True)
class _Counts:
    summary: Summary
    unanswered: int
    at: float


class LakeGauges(Collector):
    """Counts for itself rather than showing what others ask for: every server tells the same, whoever is asked.

    Args:
        catalog: of the lake.
        registry: where the gauges are shown.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        catalog: Catalog,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing known, which shows no gauge at all."""
        self._catalog = catalog
        self._clock = clock
        self._counts: _Counts | None = None
        registry.register(self)

    async def follow(self) -> None:
        """Count for ever."""
        problem: str | None = None
        while True:
            before = problem
            try:
                await asyncio.to_thread(self.refresh)
            except (SamplesError, StoreError) as error:
                problem = str(error)
                if problem != before:
                    _log.warning("the lake cannot be counted: %s", problem)
            else:
                problem = None
            await asyncio.sleep(_EVERY_S)

    def refresh(self) -> None:
        """Count once.

        Raises:
            SamplesError: no version is published yet.
            StoreError: the lake cannot be read.
        """
        summary = self._catalog.summary(since=None, window=None, answered_since=None)
        since = datetime.now(UTC) - _UNANSWERED_WITHIN
        unanswered = self._catalog.samples.unanswered(received_since=since)
        self._counts = _Counts(summary, unanswered, self._clock())

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: asking would count."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The newest counts; none when they are old, so that nobody scales or judges by them."""
        counts = self._counts
        if counts is None or self._clock() - counts.at > _STALE_S:
            return
        summary = counts.summary
        labelled = _family(names.SERVE_LABELLED)
        labelled.add_metric(["stream"], summary.stream_labelled)
        labelled.add_metric(["import"], summary.labelled - summary.stream_labelled)
        yield labelled
        for metric, value in (
            (names.SERVE_WAITING, summary.waiting_for_label),
            (names.SERVE_UNANSWERED, counts.unanswered),
        ):
            family = _family(metric)
            family.add_metric([], value)
            yield family
        samples, accuracy = _family(names.SERVE_LIVE_SAMPLES), _family(names.SERVE_LIVE_ACCURACY)
        for version in summary.versions[-_VERSIONS:]:
            samples.add_metric([str(version.version)], version.labelled)
            if version.labelled:
                accuracy.add_metric([str(version.version)], version.correct / version.labelled)
        yield samples
        yield accuracy


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
