"""The figures that `collect` exports."""

from hemline_api import metrics as names
from hemline_runtime import Metrics
from hemline_samples._rows import REFUSALS

__all__ = ["CollectMetrics"]


class CollectMetrics:
    """Rows, commits, refusals, and how late labels come."""

    def __init__(self, metrics: Metrics) -> None:
        """Register everything."""
        self.rows = metrics.counter(names.COLLECT_ROWS)
        self.commit_seconds = metrics.histogram(names.COLLECT_COMMIT_SECONDS)
        self.rejected = metrics.counter(names.COLLECT_REJECTED)
        self.label_delay = metrics.histogram(names.COLLECT_LABEL_DELAY)

    def expect(self, table: str, topic: str) -> None:
        """Begin a topic's series at nothing: one that begins with its first event has no increase to show for it."""
        self.rows.labels(table)
        self.commit_seconds.labels(table)
        for reason in REFUSALS:
            self.rejected.labels(topic, reason)
