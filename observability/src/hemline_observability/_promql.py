"""Queries made from the table of metrics, so that a name that is not exported cannot be asked for."""

from typing import Final

from hemline_api.metrics import Metric

__all__ = [
    "EVERY_CLASSIFIER",
    "THIS_CLASSIFIER",
    "mean",
    "quantile",
    "rate",
    "ratio_interval",
    "series",
    "share_within",
]

THIS_CLASSIFIER: Final = 'namespace="$namespace",classifier="$classifier"'
EVERY_CLASSIFIER: Final = ""
_WINDOW: Final = "$__rate_interval"
_Z: Final = 1.959964
"""Of the normal distribution, for an interval that holds the truth 95 times of 100."""


def series(metric: Metric, *matchers: str, part: str = "", within: str = THIS_CLASSIFIER) -> str:
    """A selector of a metric's series.

    Args:
        metric: of the table.
        matchers: further ones, as in ``'role="stable"'``.
        part: ``bucket``, ``sum`` or ``count`` of a histogram.
        within: matchers of the target; the classifier that the dashboard shows by default.

    Raises:
        ValueError: a part of what is no histogram, or a histogram without one.
    """
    if (metric.kind == "histogram") != bool(part):
        raise ValueError(f"{metric.name} is a {metric.kind}; received part={part!r}")
    suffix = f"_{part}" if part else ""
    suffix = "_total" if metric.kind == "counter" else suffix
    selector = ",".join(filter(None, (within, *matchers)))
    return f"{metric.name}{suffix}{{{selector}}}"


def rate(
    metric: Metric,
    *matchers: str,
    by: str = "",
    part: str = "",
    within: str = THIS_CLASSIFIER,
    window: str = _WINDOW,
) -> str:
    """Increase a second, summed over processes; ``by`` names the labels that stay."""
    return f"sum{_by(by)}(rate({series(metric, *matchers, part=part, within=within)}[{window}]))"


def quantile(
    q: float, metric: Metric, *matchers: str, by: str = "", within: str = THIS_CLASSIFIER
) -> str:
    """A quantile of a histogram over all processes."""
    labels = f"le, {by}" if by else "le"
    buckets = rate(metric, *matchers, by=labels, part="bucket", within=within)
    return f"histogram_quantile({q}, {buckets})"


def mean(metric: Metric, *matchers: str, by: str = "") -> str:
    """The mean of a histogram's observations over all processes."""
    total = rate(metric, *matchers, by=by, part="sum")
    return f"{total} / {rate(metric, *matchers, by=by, part='count')}"


def share_within(bound: float, metric: Metric) -> str:
    """The share of a histogram's observations up to one of its bounds.

    Raises:
        ValueError: the histogram has no such bound, so that no query could tell.
    """
    if bound not in metric.buckets:
        raise ValueError(f"{metric.name} has the bounds {metric.buckets}, received {bound}")
    good = rate(metric, f'le="{bound}"', part="bucket")
    return f"{good} / {rate(metric, part='count')}"


def ratio_interval(share: str, count: str, *, upper: bool) -> str:
    """An end of Wilson's 95 % interval of a share that was counted over so many.

    It stays within 0 and 1 and holds for a handful of samples, where the usual ``p ± z √(p(1-p)/n)`` does neither.
    """
    sign = "+" if upper else "-"
    squared = f"{_Z}^2"
    spread = f"sqrt(({share}) * (1 - ({share})) / ({count}) + {squared} / (4 * ({count})^2))"
    return f"(({share}) + {squared} / (2 * ({count})) {sign} {_Z} * {spread}) / (1 + {squared} / ({count}))"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
