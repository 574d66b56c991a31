"""What /status says."""

from datetime import UTC, datetime, timedelta

import numpy as np

from hemline_inference._meter import Meter
from hemline_runtime import Metrics


def test_percentiles_count_images_not_batches() -> None:
    meter = Meter(Metrics())
    assert meter.status()["latency_seconds"] == {}
    meter.took(0.5, 1)
    meter.took(0.1, 98)
    meter.took(0.9, 1)
    assert meter.status()["latency_seconds"] == {"p50": 0.1, "p90": 0.1, "p99": 0.5}


def test_every_count_is_exported_under_its_declared_name() -> None:
    metrics = Metrics()
    meter = Meter(metrics)
    meter.rejected("undecodable")
    meter.lag("mnist.images", "inference", 17)
    meter.sent("mnist.predictions", 3, 300)
    value = metrics.registry.get_sample_value
    assert value("hemline_inference_rejected_images_total", {"reason": "undecodable"}) == 1
    labels = {"topic": "mnist.images", "group": "inference"}
    assert value("hemline_broker_lag_messages", labels) == 17
    assert value("hemline_broker_sent_messages_total", {"topic": "mnist.predictions"}) == 3
    assert meter.status()["waiting"] == 17


def test_a_count_begins_at_nothing_so_that_its_first_event_shows() -> None:
    metrics = Metrics()
    Meter(metrics)
    value = metrics.registry.get_sample_value
    for reason in ("undecodable", "unsendable"):
        assert value("hemline_inference_rejected_images_total", {"reason": reason}) == 0
    for reason in ("missing", "damaged", "wrong_answers", "failed"):
        assert value("hemline_inference_refused_versions_total", {"reason": reason}) == 0


def test_the_age_of_an_answer_is_never_negative() -> None:
    metrics = Metrics()
    meter = Meter(metrics)
    now = datetime.now(UTC)
    meter.aged([now - timedelta(seconds=2), now + timedelta(minutes=1)], now)
    value = metrics.registry.get_sample_value
    assert value("hemline_inference_answer_age_seconds_sum") == 2
    assert value("hemline_inference_answer_age_seconds_bucket", {"le": "1.0"}) == 1


def test_versions_of_long_ago_are_no_longer_exported() -> None:
    metrics = Metrics()
    meter = Meter(metrics)
    names = ["a", "b"]
    for version in range(1, 30):
        meter.published(version, names, np.array([0, 1]), np.array([0.5, 0.5], np.float32))

    def count(name: str) -> int:
        (family,) = (f for f in metrics.registry.collect() if f.name == name)
        return len({sample.labels["version"] for sample in family.samples})

    assert count("hemline_inference_predictions") == 16
    assert count("hemline_inference_confidence_ratio") == 16
    assert meter.answered == 58
