"""Reading Prometheus' text format: only what the live view needs of it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

from hemline_api.metrics import BROKER_LAG, INFERENCE_LATENCY, INFERENCE_PREDICTIONS

__all__ = ["Figures", "latency_quantile", "read_figures"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one process exports."""

    lag: Mapping[str, int] = field(default_factory=dict)
    """Messages not yet acknowledged, by topic."""
    predictions: float = 0.0
    """Answers since the process began."""
    latency: Mapping[float, float] = field(default_factory=dict)
    """Cumulative counts by upper bound in seconds."""


def read_figures(text: str) -> Figures:
    """Read one exposition.

    Raises:
        ValueError: the text is no exposition.
    """
    lag: dict[str, int] = {}
    predictions = 0.0
    latency: dict[float, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == BROKER_LAG.name:
                topic = sample.labels.get("topic", "-")
                lag[topic] = lag.get(topic, 0) + int(sample.value)
            elif sample.name == f"{INFERENCE_PREDICTIONS.name}_total":
                predictions += sample.value
            elif sample.name == f"{INFERENCE_LATENCY.name}_bucket":
                latency[float(sample.labels["le"])] = sample.value
    return Figures(lag, predictions, latency)


def latency_quantile(
    before: Mapping[float, float], after: Mapping[float, float], share: float
) -> float | None:
    """A quantile of what was observed between two expositions, interpolated within its bucket as Prometheus does.

    None when nothing was observed; the greatest finite bound when it lies beyond.
    """
    counts: Sequence[tuple[float, float]] = [
        (bound, count - before.get(bound, 0.0)) for bound, count in sorted(after.items())
    ]
    if not counts or counts[-1][1] <= 0:
        return None
    rank = share * counts[-1][1]
    low, below = 0.0, 0.0
    for bound, count in counts:
        if count >= rank:
            if bound == float("inf"):
                return low
            inside = count - below
            return low + (bound - low) * ((rank - below) / inside if inside else 1.0)
        low, below = bound, count
    return low
