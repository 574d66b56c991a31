"""From the broker into the lake: group, append, and only then acknowledge."""

import asyncio
import contextlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar

from hemline_broker import Batch, Message, Subscription
from hemline_samples._collect_metrics import CollectMetrics
from hemline_samples._rows import Refused
from hemline_store import StoreError
from hemline_store.tables import ImageRow, LabelRow

__all__ = ["Delays", "Grouping", "Intake"]

_log = logging.getLogger(__name__)

_LONGEST_PAUSE_S: Final = 10.0
_REMEMBERED_ARRIVALS: Final = 100_000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Grouping:
    """How many messages go into one commit: whichever bound is reached first."""

    rows: int = 4096
    """Messages at most."""

    size: int = 64 << 20
    """Bytes of bodies at most (but always one message): what a commit holds in memory."""

    seconds: float = 1.0
    """Wait for a group to fill after its first message. A commit costs 5 to 50 ms whatever its size, and leaves one
    more file to read, so a label is visible a second late rather than alone in a file."""


class Delays:
    """Tells how long after an image its label came, as far as this process has seen both."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        """Tell ``observe`` seconds."""
        self._observe = observe
        self._arrivals: OrderedDict[str, datetime] = OrderedDict()

    def saw_image(self, row: ImageRow) -> None:
        """Remember an arrival; the oldest is forgotten when there are too many."""
        self._arrivals.setdefault(row.id, row.received_at)
        if len(self._arrivals) > _REMEMBERED_ARRIVALS:
            self._arrivals.popitem(last=False)

    def saw_label(self, row: LabelRow) -> None:
        """Tell the delay, once for each image."""
        arrived = self._arrivals.pop(row.id, None)
        if arrived is not None:
            self._observe(max(0.0, (row.received_at - arrived).total_seconds()))


class Intake(Generic[Row]):
    """One topic on its way into one table.

    Args:
        table: the table's name, for figures and logs.
        parse: makes a row of a message, or raises ``Refused``.
        append: commits rows; blocks, so it is called on a thread.
        bury: whether what is refused goes to the dead-letter topic. Images do not: inference reads the same topic
            and sends what it cannot decode there, once.
        on_row: told of each row before it is committed.
    """

    def __init__(
        self,
        table: str,
        *,
        parse: Callable[[Message, datetime], Row],
        append: Callable[[Sequence[Row]], Any],
        metrics: CollectMetrics,
        bury: bool,
        on_row: Callable[[Row], None] | None = None,
    ) -> None:
        """Begin with nothing committed."""
        self.table = table
        self.problem: str | None = None
        self._parse = parse
        self._append = append
        self._metrics = metrics
        self._bury = bury
        self._on_row = on_row
        self._counts: Counter[str] = Counter()

    def status(self) -> dict[str, object]:
        """Counts of this process, for ``/status``."""
        return {"rows": 0, "commits": 0, "refused": 0, **self._counts, "problem": self.problem}

    async def run(
        self, subscription: Subscription, grouping: Grouping, stop: asyncio.Event
    ) -> None:
        """Commit group after group until the subscription is closed; once ``stop`` is set, fail rather than retry.

        A group is acknowledged when its commit has returned. Killed between the two, the group comes again and the
        same rows are appended twice; they count once, because readers join by id.

        Raises:
            StoreError: the lake refuses rows in a way that trying again does not mend.
            BrokerError: the broker has failed for good.
        """
        self._metrics.expect(self.table, subscription.topic)
        batches = subscription.batches(
            grouping.rows, max_bytes=grouping.size, wait=grouping.seconds
        )
        async for batch in batches:
            rows = self._rows_of(batch, subscription.topic)
            if rows:
                await self._commit(rows, stop)
            batch.ack()

    def _rows_of(self, batch: Batch, topic: str) -> list[Row]:
        now = datetime.now(UTC)
        rows = []
        for delivery in batch:
            try:
                row = self._parse(delivery.message, now)
            except Refused as refusal:
                self._counts["refused"] += 1
                self._metrics.rejected.labels(topic, refusal.reason).inc()
                _log.warning("%s: refused %s: %s", topic, delivery.position, refusal)
                if self._bury:
                    delivery.reject(str(refusal))
                continue
            rows.append(row)
            if self._on_row is not None:
                self._on_row(row)
        return rows

    async def _commit(self, rows: Sequence[Row], stop: asyncio.Event) -> None:
        pause = 0.1
        while True:
            try:
                with self._metrics.commit_seconds.labels(self.table).time():
                    await asyncio.to_thread(self._append, rows)
            except StoreError as error:
                self.problem = f"{self.table}: {error}"
                if not error.retryable or stop.is_set():
                    raise
                _log.warning("%s: %s; trying again in %.1f s", self.table, error, pause)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
                pause = min(_LONGEST_PAUSE_S, 2 * pause)
            else:
                break
        self.problem = None
        self._counts["rows"] += len(rows)
        self._counts["commits"] += 1
        self._metrics.rows.labels(self.table).inc(len(rows))
