"""A driver as somebody else would write it, from `hemline_broker.driver` alone: topics are lists in this process.

It is found by its entry point, and passes the parts of the suite that need no crash.
"""

from __future__ import annotations

import uuid
from bisect import insort
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from hemline_broker import BrokerError, InvalidOption, NotFound, _connect, connect
from hemline_broker.driver import (
    BrokerURL,
    Capability,
    Delivery,
    Driver,
    Lease,
    Message,
    Options,
    Receipt,
    Run,
    Sink,
    Source,
    Start,
    TopicInfo,
)
from hemline_broker.testing import Failing, Harness, Receiving, Sending


@dataclass
class Group:
    """Offsets that wait for a consumer, in order; those that consumers hold; and the consumers."""

    waiting: list[int]
    held: set[int] = field(default_factory=set)
    sources: list[ListSource] = field(default_factory=list)

    def wake(self) -> None:
        for source in self.sources:
            source.wake()


@dataclass
class Topic:
    name: str
    log: list[Message] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)


class ListSource:
    """See `hemline_broker.driver.Source`."""

    def __init__(self, topic: Topic, group: Group, sink: Sink) -> None:
        self._topic, self._group, self._sink = topic, group, sink
        self._lease = Lease(f"{topic.name}/")
        self._mine: set[int] = set()
        self._late: list[str] = []
        group.sources.append(self)

    def wake(self) -> None:
        """Deliver what there is room for, as one run."""
        count, size = self._sink.room()
        taken: list[int] = []
        while self._group.waiting and count > 0 and size > 0:
            taken.append(self._group.waiting.pop(0))
            count -= 1
            size -= len(self._topic.log[taken[-1]].data)
        if taken:
            self._mine.update(taken)
            self._group.held.update(taken)
            messages = [self._topic.log[offset] for offset in taken]
            sizes = [len(message.data) for message in messages]
            self._sink.put_run(
                Run(self._topic.name, self._lease, messages, taken, sizes, _as_it_is, self._sink)
            )

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.lease.lost:
                self._late.append(delivery.message.id)
            else:
                self._done([delivery.offset])

    def ack_run(self, run: Run) -> None:
        self._done(run.offsets)

    def _done(self, offsets: Sequence[int]) -> None:
        self._mine.difference_update(offsets)
        self._group.held.difference_update(offsets)

    async def settle(self) -> Sequence[str]:
        late, self._late = self._late, []
        return late

    def extend(self, delivery: Delivery, seconds: float) -> None:
        """A list never takes anything back."""

    async def lag(self) -> int:
        return len(self._group.waiting) + len(self._group.held)

    async def close(self, unsettled: Sequence[tuple[Delivery, int]]) -> Sequence[str]:
        self._group.sources.remove(self)
        for offset in self._mine:
            insort(self._group.waiting, offset)
        self._group.held -= self._mine
        self._group.wake()
        return await self.settle()


class ListDriver:
    """See `hemline_broker.driver.Driver`."""

    capabilities = frozenset({Capability.OLDEST, Capability.ORDERED, Capability.LAG})
    max_message_bytes = 1 << 30

    def __init__(self, topics: dict[str, Topic]) -> None:
        self._topics = topics

    async def ensure(
        self, topic: str, group: str | None, partitions: int, start: Start, ordered: bool
    ) -> None:
        made = self._topics.setdefault(topic, Topic(topic))
        if group is not None and group not in made.groups:
            first = len(made.log) if start == "new" else 0
            made.groups[group] = Group(list(range(first, len(made.log))))

    async def send(
        self, topic: str, messages: Sequence[Message], timeout: float
    ) -> Sequence[Receipt | BrokerError]:
        found = self._find(topic)
        receipts = []
        for message in messages:
            offset = len(found.log)
            found.log.append(message)
            receipts.append(Receipt(message.id, f"{topic}/{offset}"))
            for group in found.groups.values():
                group.waiting.append(offset)
        for group in found.groups.values():
            group.wake()
        return receipts

    async def subscribe(
        self, topic: str, group: str, start: Start, sink: Sink, limits: tuple[int, int]
    ) -> Source:
        found = self._find(topic)
        await self.ensure(topic, group, 1, start, True)
        source = ListSource(found, found.groups[group], sink)
        source.wake()
        return source

    async def forget(self, topic: str, group: str) -> None:
        if topic in self._topics:
            self._topics[topic].groups.pop(group, None)

    async def exists(self, topic: str) -> bool:
        return topic in self._topics

    async def topics(self, names: Collection[str] | None = None) -> Sequence[TopicInfo]:
        return [
            TopicInfo(
                name, 1, len(topic.log), {n: len(g.waiting) + len(g.held) for n, g in topic.groups.items()}
            )
            for name, topic in self._topics.items()
            if names is None or name in names
        ]  # fmt: skip

    async def ping(self) -> None:
        """It is always there."""

    def native(self, kind: type[Any]) -> Any:
        raise TypeError(f"a list has no {kind.__name__}")

    async def close(self) -> None:
        """Nothing to let go of."""

    def _find(self, topic: str) -> Topic:
        if topic not in self._topics:
            raise NotFound(f"topic {topic!r} does not exist; call ensure({topic!r}) first")
        return self._topics[topic]


class Opener:
    """`open_driver` of a package; a URL's connections see the same lists."""

    def __init__(self) -> None:
        self._worlds: dict[str, dict[str, Topic]] = {}

    async def __call__(self, url: BrokerURL, max_message_bytes: int) -> Driver:
        Options(url.options, url.scheme).finish()
        return ListDriver(self._worlds.setdefault(url.rest, {}))


def _as_it_is(message: Message) -> Message:
    return message


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    """What installing a package with that entry point does."""
    opener = Opener()

    class Found(EntryPoint):
        def load(self) -> Any:
            return opener

    def entry_points(group: str, name: str) -> Sequence[EntryPoint]:
        found = Found("list", "my_package:open_driver", "hemline_broker.drivers")
        return [found] if (group, name) == (found.group, found.name) else []

    monkeypatch.setattr(_connect, "entry_points", entry_points)
    return Harness(f"list://{uuid.uuid4().hex}", quiet=0.1)


class TestList(Sending, Receiving, Failing):
    """The shipped suite."""


async def test_other_schemes_are_still_unknown(harness: Harness) -> None:
    with pytest.raises(InvalidOption, match="unknown scheme 'lists'"):
        async with connect("lists://x"):
            pass
