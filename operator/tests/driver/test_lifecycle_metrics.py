"""What the operator tells of each classifier's lifecycle."""

from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from hemline_operator.driver._cache import Cache
from hemline_operator.driver._lifecycle_metrics import LifecycleMetrics
from hemline_operator.plan import Key

KEY = Key("shop", "mnist")
LABELS = {"namespace": "shop", "classifier": "mnist"}


def classifier(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": "mnist"},
        "spec": spec,
        "status": {"liveVersion": 3, "freshSamples": 420, "rollout": {"revision": 9, "stable": 3}},
    }


def run(uid: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "namespace": "shop", "name": uid}, "status": status}


def ended(uid: str, at: str, reason: str, **status: Any) -> dict[str, Any]:
    conditions = [{"type": "Succeeded", "status": "False", "reason": reason}]
    return run(uid, job={"name": uid}, finishedAt=at, conditions=conditions, **status)


def test_the_status_of_a_classifier_is_shown() -> None:
    running = run("now", job={"name": "now"})
    cache = Cache(
        {"imageclassifiers": {KEY: [classifier()]}, "finetunes": {KEY: [running, run("next")]}}
    )
    registry = CollectorRegistry()
    LifecycleMetrics(cache, registry)
    value = registry.get_sample_value
    assert value("hemline_lifecycle_live_version_number", LABELS) == 3
    assert value("hemline_lifecycle_revision_number", LABELS) == 9
    assert value("hemline_lifecycle_fresh_samples", LABELS) == 420
    assert value("hemline_lifecycle_due_samples", LABELS) == 1000
    assert value("hemline_lifecycle_running_fine_tunes", LABELS) == 1


def test_nothing_is_due_where_the_policy_is_off() -> None:
    off = classifier(fineTune={"mode": "Disabled"})
    registry = CollectorRegistry()
    LifecycleMetrics(Cache({"imageclassifiers": {KEY: [off]}}), registry)
    assert registry.get_sample_value("hemline_lifecycle_due_samples", LABELS) is None
    assert registry.get_sample_value("hemline_lifecycle_running_fine_tunes", LABELS) == 0


def test_each_run_that_ends_is_counted_once_and_those_of_before_never() -> None:
    runs = [ended("long-ago", "2020-01-01T00:00:00Z", "Improved", verdict="Improved")]
    cache = Cache({"imageclassifiers": {KEY: [classifier()]}, "finetunes": {KEY: runs}})
    registry = CollectorRegistry()
    LifecycleMetrics(cache, registry)

    def count(verdict: str) -> float | None:
        return registry.get_sample_value(
            "hemline_lifecycle_fine_tunes_total", {**LABELS, "verdict": verdict}
        )

    assert (count("Improved"), count("Failed")) == (0, 0)
    runs.append(ended("good", "2999-01-01T00:00:00Z", "Improved", verdict="Improved"))
    runs.append(ended("late", "2999-01-01T00:00:01Z", "DeadlineExceeded"))
    runs.append(ended("odd", "2999-01-01T00:00:02Z", "SomethingNew"))
    for _ in range(2):
        assert (count("Improved"), count("DeadlineExceeded"), count("Failed")) == (1, 1, 1)
    del runs[1]
    assert count("Improved") == 1


def test_a_classifier_that_is_gone_has_no_series() -> None:
    classifiers = {KEY: [classifier()]}
    registry = CollectorRegistry()
    LifecycleMetrics(Cache({"imageclassifiers": classifiers}), registry)
    assert b"mnist" in generate_latest(registry)
    classifiers.clear()
    assert b"mnist" not in generate_latest(registry)
