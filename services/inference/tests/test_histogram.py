"""The batch histogram exports what the client library's own would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hemline_api.metrics import BROKER_SENT, INFERENCE_CONFIDENCE, INFERENCE_LATENCY
from hemline_inference._histogram import BatchHistogram


def exported(registry: CollectorRegistry) -> list[tuple[str, tuple[tuple[str, str], ...], float]]:
    text = generate_latest(registry).decode()
    return [
        (sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


# Quarters add up exactly, in whatever order.
VALUES = st.lists(st.integers(0, 400).map(lambda n: n / 4), max_size=30)


@given(batches=st.lists(VALUES, max_size=4))
def test_it_exports_the_same(batches: list[list[float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    metric = INFERENCE_LATENCY
    quick = BatchHistogram(metric, ours)
    plain = Histogram(metric.name, metric.help, buckets=metric.buckets, registry=theirs)
    for batch in batches:
        quick.observe(np.array(batch))
        for value in batch:
            plain.observe(value)
    assert exported(ours) == exported(theirs)


def test_labels_and_bounds_and_repeats() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    metric = INFERENCE_CONFIDENCE
    quick = BatchHistogram(metric, ours)
    plain = Histogram(
        metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=theirs
    )
    for version, value in ((1, 0.5), (2, 1.0), (1, 0.25)):
        quick.observe(np.array([value]), version, times=3)
        for _ in range(3):
            plain.labels(version).observe(value)
    assert exported(ours) == exported(theirs)


def test_a_name_is_used_once_and_only_as_declared() -> None:
    registry = CollectorRegistry()
    BatchHistogram(INFERENCE_LATENCY, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        BatchHistogram(INFERENCE_LATENCY, registry)
    with pytest.raises(ValueError, match="declared as a counter"):
        BatchHistogram(BROKER_SENT, registry)
