"""A driver as somebody else would write it, from `hemline_broker.driver` alone: topics are lists in this process.

It is found by its entry point, and passes the parts of the suite that need no crash. With one thing wrong at a time it
fails them: the suite finds what it is there to find.
"""

from __future__ import annotations

import asyncio
import uuid
from bisect import insort
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
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
from hemline_broker.testing import Conformance, Failing, Harness, Receiving, Sending


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

    source: type[ListSource] = ListSource
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
        source = self.source(found, found.groups[group], sink)
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
        self.driver = ListDriver

    def groups(self) -> Iterator[tuple[Topic, Group]]:
        """Of all URLs."""
        for world in self._worlds.values():
            for topic in world.values():
                for group in topic.groups.values():
                    yield topic, group

    async def __call__(self, url: BrokerURL, max_message_bytes: int) -> Driver:
        Options(url.options, url.scheme).finish()
        return self.driver(self._worlds.setdefault(url.rest, {}))


def _as_it_is(message: Message) -> Message:
    return message


@pytest.fixture
def opener(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """What installing a package with that entry point does."""
    opener = Opener()

    class Found(EntryPoint):
        def load(self) -> Any:
            return opener

    def entry_points(group: str, name: str) -> Sequence[EntryPoint]:
        found = Found("list", "my_package:open_driver", "hemline_broker.drivers")
        return [found] if (group, name) == (found.group, found.name) else []

    monkeypatch.setattr(_connect, "entry_points", entry_points)
    return opener


@pytest.fixture
def harness(opener: Opener) -> Harness:
    return Harness(f"list://{uuid.uuid4().hex}", quiet=0.1)


class TestList(Sending, Receiving, Failing):
    """The shipped suite."""


async def test_other_schemes_are_still_unknown(harness: Harness) -> None:
    with pytest.raises(InvalidOption, match="unknown scheme 'lists'"):
        async with connect("lists://x"):
            pass


# --- with one thing wrong ---------------------------------------------------------------------------------------


class Endless(ListSource):
    """Reads on where there is no room."""

    def __init__(self, topic: Topic, group: Group, sink: Sink) -> None:
        super().__init__(topic, group, Roomy(sink, lambda count, size: (1000, 1 << 40)))


class CountsAlone(ListSource):
    """Has no eye for bytes."""

    def __init__(self, topic: Topic, group: Group, sink: Sink) -> None:
        super().__init__(topic, group, Roomy(sink, lambda count, size: (count, 1 << 40)))


class Roomy:
    """A sink whose room is said to be another."""

    def __init__(self, sink: Sink, other: Callable[[int, int], tuple[int, int]]) -> None:
        self._sink, self._other = sink, other

    def room(self) -> tuple[int, int]:
        return self._other(*self._sink.room())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sink, name)


class Robber(ListSource):
    """Takes what others still hold, as if they were dead."""

    def __init__(self, topic: Topic, group: Group, sink: Sink) -> None:
        super().__init__(topic, group, sink)
        group.waiting += sorted(group.held)


class Loser(ListSource):
    """Gives nothing back when it leaves."""

    async def close(self, unsettled: Sequence[tuple[Delivery, int]]) -> Sequence[str]:
        self._mine.clear()
        return await super().close(unsettled)


class Generous(ListSource):
    """Takes the ack of one message for that of all it has."""

    def _done(self, offsets: Sequence[int]) -> None:
        super()._done([*self._mine])


class Deaf(ListSource):
    """Hears no ack."""

    def _done(self, offsets: Sequence[int]) -> None:
        """Nothing."""


class Backwards(ListSource):
    """Gives out the newest first."""

    def wake(self) -> None:
        self._group.waiting.reverse()
        super().wake()


class Jealous(ListSource):
    """Gets all or nothing: the first of a group is served, the others are not."""

    def wake(self) -> None:
        if self._group.sources[0] is self:
            super().wake()


class Broadcaster(ListDriver):
    """Gives everything to every consumer of a group."""

    async def subscribe(
        self, topic: str, group: str, start: Start, sink: Sink, limits: tuple[int, int]
    ) -> Source:
        return await super().subscribe(topic, uuid.uuid4().hex, "oldest", sink, limits)


class Restarter(ListDriver):
    """Moves a group that exists to where it was told that a new one begins."""

    async def ensure(
        self, topic: str, group: str | None, partitions: int, start: Start, ordered: bool
    ) -> None:
        if group is not None and topic in self._topics:
            self._topics[topic].groups.pop(group, None)
        await super().ensure(topic, group, partitions, start, ordered)


class Maker(ListDriver):
    """Makes topics on the side."""

    def _find(self, topic: str) -> Topic:
        return self._topics.setdefault(topic, Topic(topic))


class Lonely(ListDriver):
    """Works for one connection at a time."""

    async def ensure(
        self, topic: str, group: str | None, partitions: int, start: Start, ordered: bool
    ) -> None:
        while Lonely.working not in (None, self):  # noqa: ASYNC110 - a list has no event for it
            await asyncio.sleep(0.01)
        Lonely.working = self
        await super().ensure(topic, group, partitions, start, ordered)

    async def close(self) -> None:
        Lonely.working = None

    working: Lonely | None = None


def lose(topic: Topic, group: Group) -> None:
    """A restart after which nothing waits."""
    group.waiting.clear()


def repeat(topic: Topic, group: Group) -> None:
    """A restart after which everything waits again."""
    group.waiting[:] = range(len(topic.log))


Fault = type[ListDriver] | type[ListSource] | Callable[[Topic, Group], None]

# What is wrong → behaviours that must not hold then.
FAULTS: Sequence[tuple[Fault, str]] = (
    (Endless, "no_more_than_in_flight"),
    (Endless, "no_more_than_bytes"),
    (Endless, "one_large_message_fits_any_bound"),
    (CountsAlone, "no_more_than_bytes"),
    (CountsAlone, "one_large_message_fits_any_bound"),
    (Robber, "slow_handler"),
    (Loser, "close_drains"),
    (Loser, "late_ack_after_close"),
    (Loser, "slow_head"),
    (Generous, "slow_head"),
    (Generous, "acked_is_gone"),
    (Deaf, "acked_is_gone"),
    (Deaf, "slow_head"),
    (Deaf, "ensure_twice"),
    (Backwards, "order_of_one_sender"),
    (Backwards, "batches"),
    (Jealous, "consumers_of_a_group_share"),
    (Broadcaster, "consumers_of_a_group_share"),
    (Restarter, "ensure_twice"),
    (Maker, "unknown_topic"),
    (Lonely, "side_by_side"),
    (lose, "restart"),
    (repeat, "restart"),
)
# How a behaviour says that it does not hold.
NO = (AssertionError, TimeoutError, ExceptionGroup, pytest.fail.Exception)


@pytest.fixture
def impatient(harness: Harness) -> Harness:
    """What has not come at once never does; a restart changes nothing."""

    async def restart() -> None:
        """Lists do not end."""

    return replace(harness, patience=0.25, quiet=0.05, hold=0.1, restart=restart)


@pytest.mark.parametrize("name", sorted({name for _, name in FAULTS}))
async def test_without_a_fault_it_holds(impatient: Harness, name: str) -> None:
    await getattr(Conformance(), f"test_{name}")(replace(impatient, patience=60.0))


@pytest.mark.parametrize(
    ("fault", "name"), FAULTS, ids=lambda each: getattr(each, "__name__", each)
)
async def test_with_one_it_does_not(
    impatient: Harness, opener: Opener, fault: Fault, name: str
) -> None:
    if not isinstance(fault, type):

        async def restart() -> None:
            for topic, group in opener.groups():
                fault(topic, group)

        impatient = replace(impatient, restart=restart)
    elif issubclass(fault, ListDriver):
        opener.driver = fault
    else:
        opener.driver = type("Faulty", (ListDriver,), {"source": fault})
    with pytest.raises(NO):
        await getattr(Conformance(), f"test_{name}")(impatient)
