"""The whole of `collect`: three intakes, one process, an orderly end."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any, Final

from hemline_api.topics import Topics
from hemline_broker import Broker, Subscription
from hemline_samples._collect import Delays, Grouping, Intake
from hemline_samples._collect_metrics import CollectMetrics
from hemline_samples._rows import image_row, label_row, prediction_row
from hemline_store import Lake
from hemline_store.tables import Samples

__all__ = ["GROUP", "Collector"]

_log = logging.getLogger(__name__)

GROUP: Final = "collect"
_DRAIN_S: Final = 30.0


class Collector:
    """Images, labels and predictions of one classifier, each into its table."""

    def __init__(self, samples: Samples, topics: Topics, metrics: CollectMetrics) -> None:
        """Prepare the three intakes."""
        delays = Delays(metrics.label_delay.observe)
        self._topics = topics
        self._joined = False
        self._images = Intake(
            "images",
            parse=image_row,
            append=samples.append_images,
            metrics=metrics,
            bury=False,
            on_row=delays.saw_image,
        )
        self._labels = Intake(
            "labels",
            parse=label_row,
            append=samples.append_labels,
            metrics=metrics,
            bury=True,
            on_row=delays.saw_label,
        )
        self._predictions = Intake(
            "predictions",
            parse=prediction_row,
            append=samples.append_predictions,
            metrics=metrics,
            bury=True,
        )

    @classmethod
    def open(cls, lake: Lake, topics: Topics, metrics: CollectMetrics) -> "Collector":
        """Open the sample tables, making those that are missing.

        Raises:
            StoreError: the lake cannot be used.
        """
        return cls(Samples.open(lake), topics, metrics)

    def status(self) -> dict[str, Any]:
        """What ``/status`` shows."""
        return {intake.table: intake.status() for intake, _ in self._intakes()}

    def problem(self) -> str | None:
        """Why nothing is collected at the moment, None when it is."""
        if not self._joined:
            return "has not joined its groups yet"
        return next((intake.problem for intake, _ in self._intakes() if intake.problem), None)

    def _intakes(self) -> list[tuple[Intake[Any], str]]:
        return [
            (self._images, self._topics.images),
            (self._labels, self._topics.labels),
            (self._predictions, self._topics.predictions),
        ]

    async def run(self, broker: Broker, grouping: Grouping, stop: asyncio.Event) -> None:
        """Collect until ``stop`` is set; what is in hand then is still committed and acknowledged.

        Raises:
            StoreError, BrokerError: for good; what was not acknowledged comes again to the next process.
        """
        topics = self._topics
        await broker.ensure(topics.dead)
        async with AsyncExitStack() as stack:
            subscriptions: list[Subscription] = []
            async with asyncio.TaskGroup() as tasks:
                for intake, topic in self._intakes():
                    await broker.ensure(topic, GROUP, start="oldest")
                    subscription = await stack.enter_async_context(
                        broker.subscribe(
                            topic,
                            group=GROUP,
                            start="oldest",
                            in_flight=2 * grouping.rows,
                            in_flight_bytes=2 * grouping.size,
                            dead_letter=topics.dead,
                        )
                    )
                    subscriptions.append(subscription)
                    tasks.create_task(intake.run(subscription, grouping, stop))
                self._joined = True
                _log.info("collecting %s, %s and %s", *topics.all()[:3])
                tasks.create_task(_close_on(stop, subscriptions, grouping))


async def _close_on(
    stop: asyncio.Event, subscriptions: list[Subscription], grouping: Grouping
) -> None:
    await stop.wait()
    _log.info("stopping: committing what is in hand")
    # Groups that are filling get the time they would have had: closed at once, they would be given back instead.
    await asyncio.sleep(grouping.seconds)
    await asyncio.gather(*(subscription.close(_DRAIN_S) for subscription in subscriptions))
