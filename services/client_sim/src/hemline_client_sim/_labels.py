"""The sender of labels: each at its own time, late, whether the prediction was right or wrong."""

import asyncio
import heapq
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from hemline_api.events import JSON_CONTENT_TYPE, LABEL_TYPE, Label
from hemline_broker import Broker, Message
from hemline_client_sim._delivery import deliver
from hemline_client_sim._events import Labelled, Planned
from hemline_client_sim._ids import image_id
from hemline_client_sim._images import SOURCE
from hemline_client_sim._ledger import Ledger

__all__ = ["LabelSender"]

_MOST_AT_ONCE = 256


class LabelSender:
    """Sends labels when they are due."""

    def __init__(self, broker: Broker, topic: str, ledger: Ledger) -> None:
        """Begin with the labels that the books still owe."""
        self._broker = broker
        self._topic = topic
        self._ledger = ledger
        self._due: list[tuple[float, int, Planned]] = []
        self._news = asyncio.Event()
        self._hurry = False
        self.schedule(list(ledger.books.unlabelled()))

    def schedule(self, plans: Sequence[Planned]) -> None:
        """Take in images that have been sent."""
        for plan in plans:
            if plan.told is not None:
                heapq.heappush(self._due, (plan.label_at, plan.n, plan))
        self._news.set()

    def hurry(self) -> None:
        """From now on every label is due at once."""
        self._hurry = True
        self._news.set()

    async def run(self) -> None:
        """Send labels until cancelled.

        Raises:
            BrokerError: the broker refuses for good.
        """
        while True:
            plans = self._take_due()
            if plans:
                await self._send(plans)
                continue
            self._news.clear()
            wait = self._due[0][0] - time.time() if self._due else None
            try:
                async with asyncio.timeout(wait):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _take_due(self) -> list[Planned]:
        plans: list[Planned] = []
        while self._due and len(plans) < _MOST_AT_ONCE:
            if not self._hurry and self._due[0][0] > time.time():
                break
            plans.append(heapq.heappop(self._due)[2])
        return plans

    async def _send(self, plans: Sequence[Planned]) -> None:
        def on_durable(places: Sequence[int]) -> None:
            self._ledger.record(*(Labelled(plans[place].n) for place in places))

        await deliver(
            self._broker, self._topic, [self._message(plan) for plan in plans], on_durable
        )

    def _message(self, plan: Planned) -> Message:
        identity = image_id(self._ledger.header.run, plan.index, plan.n)
        return Message(
            data=Label(id=identity, label=plan.told, source=SOURCE).to_json(),
            key=identity,
            # The same label again, after a crash, is the same event.
            id=f"{identity}-label",
            type=LABEL_TYPE,
            source=SOURCE,
            time=datetime.now(UTC),
            content_type=JSON_CONTENT_TYPE,
        )
