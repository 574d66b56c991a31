"""What this process counts: Prometheus metrics, and the same in short for /status."""

import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from hemline_api import metrics as table
from hemline_broker import Observer
from hemline_inference._engine import Answer
from hemline_inference._errors import RefusalReason
from hemline_inference._histogram import BatchHistogram
from hemline_inference._slots import Serving, Slot
from hemline_runtime import BrokerMetrics, Metrics

__all__ = ["Meter", "RejectReason"]

RejectReason = Literal["undecodable", "unsendable"]
"""Why an image goes to the dead-letter topic, as a bounded set for the metric."""

_NEWEST = 2048
_VERSIONS = (
    16  # whose counts are exported: each fine-tune adds one, and a label must stay a bounded set
)


class Meter(BrokerMetrics, Observer):
    """Counts, as the messaging library's observer too.

    All calls come on the event loop; ``status`` may come from any thread and only reads.
    """

    def __init__(self, metrics: Metrics) -> None:
        """Declare the metrics on the process's registry."""
        super().__init__(metrics)
        self._predictions = metrics.counter(table.INFERENCE_PREDICTIONS)
        self._rejected = metrics.counter(table.INFERENCE_REJECTED)
        self._latency = BatchHistogram(table.INFERENCE_LATENCY, metrics.registry)
        self._age = BatchHistogram(table.INFERENCE_ANSWER_AGE, metrics.registry)
        self._batch = metrics.histogram(table.INFERENCE_BATCH)
        self._confidence = BatchHistogram(table.INFERENCE_CONFIDENCE, metrics.registry)
        self._swap = metrics.histogram(table.INFERENCE_SWAP_SECONDS)
        self._revision = metrics.gauge(table.INFERENCE_REVISION)
        self._created = metrics.gauge(table.INFERENCE_MODEL_CREATED)
        self._refused = metrics.counter(table.INFERENCE_REFUSED)
        # A series that begins with its first event has no increase to show for it.
        for reject in get_args(RejectReason):
            self._rejected.labels(reject)
        for refusal in get_args(RefusalReason):
            self._refused.labels(refusal)
        self.answered = 0
        self.rejected_images = 0
        self.failed_runs = 0
        self.last_batch = 0
        self._last_error: str | None = None
        self._sending: str | None = None
        self._versions: dict[int, Sequence[str]] = {}
        self._waiting = 0
        self._newest: deque[tuple[float, int]] = deque(maxlen=_NEWEST)
        self._seconds = dict.fromkeys(
            ("fetch_wait", "decode", "engine", "engine_cpu", "engine_idle", "encode", "publish"),
            0.0,
        )
        self._runs = 0
        self._started = time.monotonic()

    # --- the pipeline ------------------------------------------------------------------------------------------

    def ran(self, answer: Answer) -> None:
        """The engine ran, or failed."""
        images = sum(len(chunk.deliveries) for chunk in answer.chunks)
        self._seconds["engine"] += answer.ran
        self._seconds["engine_cpu"] += answer.cpu
        # Before its first batch the engine was not idle, it was not needed yet.
        self._seconds["engine_idle"] += answer.waited if self._runs else 0.0
        self._seconds["decode"] += sum(chunk.decode_seconds for chunk in answer.chunks)
        self._runs += 1
        if images:
            self.last_batch = images
            self._batch.observe(images)
        if answer.error is None:
            self._last_error = None
        else:
            self.failed_runs += 1
            self._last_error = answer.error

    def spent(self, stage: str, seconds: float) -> None:
        """Time that a stage took."""
        self._seconds[stage] += seconds

    def published(
        self,
        version: int,
        names: Sequence[str],
        labels: npt.NDArray[np.int64],
        confidence: npt.NDArray[np.float32],
    ) -> None:
        """Answers are durable."""
        self.answered += len(labels)
        self._know(version, names)
        for label, count in enumerate(np.bincount(labels, minlength=len(names)).tolist()):
            if count:
                self._predictions.labels(version, names[label]).inc(count)
        self._confidence.observe(confidence, version)

    def _know(self, version: int, names: Sequence[str]) -> None:
        if version in self._versions:
            return
        self._versions[version] = names
        for name in names:
            self._predictions.labels(version, name)
        while len(self._versions) > _VERSIONS:
            oldest = next(iter(self._versions))
            for name in self._versions.pop(oldest):
                self._predictions.remove(oldest, name)
            self._confidence.remove(oldest)

    def sending(self, problem: str | None) -> None:
        """Why predictions cannot be sent now; None once they can."""
        self._sending = problem

    def took(self, seconds: float, images: int) -> None:
        """Images that were fetched together have waited this long for durable answers."""
        self._newest.append((seconds, images))
        self._latency.observe(np.array([seconds]), times=images)

    def aged(self, sent: Sequence[datetime], answered: datetime) -> None:
        """Answers are durable: how old their images are by the time that their senders gave them."""
        ages = np.array([(answered - at).total_seconds() for at in sent])
        # A sender whose clock is ahead has not been answered before it asked.
        self._age.observe(np.maximum(ages, 0.0))

    def rejected(self, reason: RejectReason) -> None:
        """An image goes to the dead-letter topic."""
        self.rejected_images += 1
        self._rejected.labels(reason).inc()

    # --- the models --------------------------------------------------------------------------------------------

    def swapped(self, serving: Serving, seconds: float) -> None:
        """Another document, or another model under it, serves now."""
        self._swap.observe(seconds)
        self._revision.set(serving.rollout.revision)
        self._created.clear()
        self._serves(serving.stable, "stable")
        if serving.canary is not None:
            self._serves(serving.canary, "canary")

    def _serves(self, slot: Slot, role: str) -> None:
        card = slot.classifier.card
        self._created.labels(slot.version, role).set(card.created.timestamp())
        self._know(slot.version, card.classes)

    def refused(self, reason: RefusalReason) -> None:
        """A version cannot serve."""
        self._refused.labels(reason).inc()

    # --- the broker (Observer) ---------------------------------------------------------------------------------

    def lag(self, topic: str, group: str, messages: int) -> None:
        """Messages of the group not yet acknowledged."""
        super().lag(topic, group, messages)
        self._waiting = messages

    # --- for people --------------------------------------------------------------------------------------------

    @property
    def problem(self) -> str | None:
        """What keeps answers from going out, though this process is sound."""
        return self._sending

    @property
    def last_error(self) -> str | None:
        """What the engine said when it failed, until it answers again."""
        return self._last_error

    def status(self) -> dict[str, Any]:
        """The counts as JSON-able values; seconds since the start of the process."""
        return {
            "answered": self.answered,
            "rejected": self.rejected_images,
            "failed_runs": self.failed_runs,
            "waiting": self._waiting,
            "last_batch": self.last_batch,
            "batches": self._runs,
            "latency_seconds": _percentiles(list(self._newest)),
            "stage_seconds": {stage: round(value, 6) for stage, value in self._seconds.items()},
            "up_seconds": round(time.monotonic() - self._started, 3),
        }


def _percentiles(newest: Sequence[tuple[float, int]]) -> dict[str, float]:
    """Latency of the newest images, weighted by how many shared it."""
    if not newest:
        return {}
    ordered = sorted(newest)
    weights = np.cumsum([images for _, images in ordered])
    places = np.searchsorted(weights, np.array([0.5, 0.9, 0.99]) * weights[-1])
    p50, p90, p99 = (round(next(islice(ordered, int(at), None))[0], 6) for at in places)
    return {"p50": p50, "p90": p90, "p99": p99}
