"""The broker library's happenings as metrics."""

from hemline_broker import Observer
from hemline_runtime import BrokerMetrics

__all__ = ["BrokerObserver"]


class BrokerObserver(BrokerMetrics, Observer):
    """Counts what the broker library does."""
