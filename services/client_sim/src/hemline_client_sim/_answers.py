"""The collector: reads predictions and dead letters with a consumer group of its own and writes them down."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hemline_api import BadEvent
from hemline_api.events import Prediction
from hemline_broker import Delivery, Subscription
from hemline_client_sim._events import Answered, Event, Planned, Refused, Stray, StrayKind
from hemline_client_sim._ids import number_of
from hemline_client_sim._ledger import Ledger

__all__ = ["Collector", "Outcome"]

_log = logging.getLogger(__name__)
_MOST_AT_ONCE = 512
# What the books keep of an answer takes two and four bytes.
_MOST_CLASSES = 1 << 16
_MOST_VERSIONS = 1 << 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer to an image of this run."""

    prediction: Prediction
    plan: Planned | None  # None for a raw repeat

    @property
    def seconds(self) -> float | None:
        """From sending to reading; None for a raw repeat."""
        return max(time.time() - self.plan.at, 0.0) if self.plan else None


class Collector:
    """Turns messages into events of the books; a message is acknowledged once its event is in the journal.

    Args:
        ledger: where it is written down.
        images: topic of the images, whose dead letters count.
        on_answer: called with each answer to an image of this run.
    """

    def __init__(
        self, ledger: Ledger, images: str, *, on_answer: Callable[[Outcome], None]
    ) -> None:
        """Keep what collecting needs."""
        self._ledger = ledger
        self._images = images
        self._on_answer = on_answer

    async def collect_answers(self, subscription: Subscription) -> None:
        """Read predictions until the subscription closes."""
        async for batch in subscription.batches(_MOST_AT_ONCE):
            now = time.time()
            read = [self._read_answer(delivery, now) for delivery in batch]
            outcomes = self._outcomes(read)
            self._ledger.record(*(event for event, _ in read))
            batch.ack()
            for outcome in outcomes:
                self._on_answer(outcome)

    def _outcomes(self, read: Sequence[tuple[Event, Prediction | None]]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        seen: set[int] = set()
        for event, prediction in read:
            if prediction is None or not isinstance(event, Answered):
                continue
            plan = None if event.n in seen else self._ledger.books.waiting_plan(event.n)
            seen.add(event.n)
            outcomes.append(Outcome(prediction, plan))
        return outcomes

    async def collect_dead_letters(self, subscription: Subscription) -> None:
        """Read dead letters until the subscription closes: those of our images are answers of a kind."""
        async for batch in subscription.batches(_MOST_AT_ONCE):
            now = time.time()
            events: list[Event] = []
            for delivery in batch:
                message = delivery.message
                n = number_of(self._ledger.header.run, message.id)
                if message.extensions.get("deadtopic", self._images) != self._images:
                    n = None  # someone could not read a label or a prediction
                if n is not None and n >= 0:
                    _log.info(
                        "%s was dead-lettered: %s",
                        message.id,
                        message.extensions.get("deadreason", "-"),
                    )
                    events.append(Refused(n, now))
            self._ledger.record(*events)
            batch.ack()

    def _read_answer(self, delivery: Delivery, now: float) -> tuple[Event, Prediction | None]:
        try:
            prediction = Prediction.from_json(delivery.message.data)
        except BadEvent as error:
            _log.warning("%s: %s", delivery.position, error)
            return Stray(StrayKind.MALFORMED), None
        n = number_of(self._ledger.header.run, prediction.id)
        if n is None:
            return Stray(StrayKind.FOREIGN), None
        if n < 0:
            return Stray(StrayKind.UNKNOWN), None
        if prediction.label >= _MOST_CLASSES or prediction.model_version >= _MOST_VERSIONS:
            _log.warning(
                "%s: class %d of version %d",
                prediction.id,
                prediction.label,
                prediction.model_version,
            )
            return Stray(StrayKind.MALFORMED), None
        return Answered(n, now, prediction.label, prediction.model_version), prediction
