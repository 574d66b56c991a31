"""The driver protocol: all that a backend must do. The portable layer does the rest once.

Rules for a driver:

- Methods of `Driver` and `Source` are called on the event loop and must not block it; blocking clients get threads of
  their own.
- A driver does not retry what a caller would want to know about: it raises `Unavailable` and friends.
- It gives each message out once per lease; whether a delivery is retried, dead-lettered or acknowledged is decided
  above.
- It reads at most what `Sink.room` allows, give or take one message.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from hemline_broker._backend import Capability, Configuration, TopicInfo
from hemline_broker._delivery import Delivery, Owner
from hemline_broker._errors import BrokerError
from hemline_broker._message import Message, Receipt
from hemline_broker._run import Run

__all__ = [
    "Capability",
    "Checks",
    "Claims",
    "Configuration",
    "Driver",
    "Limited",
    "Remembers",
    "Sink",
    "Source",
    "Start",
    "TopicInfo",
    "Transacts",
]

Start = Literal["new", "oldest"]


@runtime_checkable
class Checks(Protocol):
    """Optional part of a driver: settings that may refuse or lose messages."""

    async def settings(self, topics: Collection[str] | None) -> Configuration:
        """Read them, for these topics or for all."""


@runtime_checkable
class Transacts(Protocol):
    """Optional part of a driver, with `Capability.TRANSACTIONS`."""

    async def transact(
        self,
        outputs: Mapping[str, Sequence[Message]],
        source: Source | None,
        deliveries: Sequence[Delivery],
        timeout: float,
    ) -> None:
        """Make messages (by topic) durable and deliveries of a source acknowledged, both or neither.

        Returns when it took effect, whatever fails afterwards; raises `TransactionAborted` when surely nothing did and
        the same work may be tried again, `Unavailable` when nobody knows, anything else when surely nothing did and
        the same would fail again. After an error the deliveries are handed out once more, but those whose lease is
        lost: so after `Unavailable` only what surely was not acknowledged may keep its lease. The deliveries are
        handed out and are not settled by anybody else meanwhile.
        """


@runtime_checkable
class Remembers(Protocol):
    """Optional part of a source, with `Capability.DURABLE_ATTEMPTS`: attempts outlive a consumer that is killed."""

    def remember(self, delivery: Delivery) -> None:
        """Take note of a next attempt, and of the failures before it. Cheap; made durable soon after."""


@runtime_checkable
class Limited(Protocol):
    """Optional part of a driver whose topics may carry less than the backend."""

    async def limit(self, topic: str) -> int | None:
        """Bytes of the largest message that this topic takes, counted as `TooLarge` says; None if nobody knows."""


@runtime_checkable
class Claims(Protocol):
    """Optional part of a driver: it completes messages whose bodies lie elsewhere.

    Attributes:
        claims: where.
    """

    claims: str


class Sink(Owner, Protocol):
    """What a source pours deliveries into, and their owner. What follows may be called from any one thread."""

    def room(self) -> tuple[int, int]:
        """Messages and bytes that may be delivered now; (0, 0) when there is no need for more."""

    def idle(self) -> bool:
        """Whether nothing delivered waits to be handed out, or too little: even one message is worth fetching."""

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """Deliver, in order."""

    def put_run(self, run: Run) -> None:
        """Deliver a run of first deliveries, whose acks come back by `Source.ack_run` if nobody took it apart."""

    def refuse(self, delivery: Delivery, kind: str, reason: str) -> None:
        """Deliver to the dead-letter topic what no handler can be given; on the event loop.

        `kind` is what the observer counts it under.
        """

    def fail(self, error: BrokerError) -> None:
        """End the subscription with an error that its reader sees."""


class Source(Protocol):
    """One consumer of one group."""

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Take note that these are done. Cheap; made durable soon after, at once by `settle` and `close`."""

    def ack_run(self, run: Run) -> None:
        """The same for a run as a whole; never called on a source that delivers none."""

    def wake(self) -> None:
        """There is room again, or the sink is idle."""

    async def settle(self) -> Sequence[str]:
        """Make all acks so far durable; return the ids of those that came too late."""

    def extend(self, delivery: Delivery, seconds: float) -> None:
        """Keep a delivery for longer, where the backend has a lease per message."""

    async def lag(self) -> int:
        """Messages of the group not yet acknowledged, this consumer's in flight included."""

    async def close(self, unsettled: Sequence[tuple[Delivery, int]]) -> Sequence[str]:
        """Make acks durable, give back what is not acknowledged, leave the group; return as `settle` does.

        `unsettled` are the deliveries that were handed out, each with the number of its next attempt, for backends
        that remember.
        """


class Driver(Protocol):
    """A connection to one backend."""

    capabilities: frozenset[Capability]
    # The largest message, counted as `TooLarge` says, that the backend itself carries.
    max_message_bytes: int

    async def ensure(
        self, topic: str, group: str | None, partitions: int, start: Start, ordered: bool
    ) -> None:
        """Make the topic and the group's starting position, where they do not exist yet."""

    async def send(
        self, topic: str, messages: Sequence[Message], timeout: float
    ) -> Sequence[Receipt | BrokerError]:
        """Make messages durable; one result per message, or raise what holds for all of them.

        `NotFound` for a topic that does not exist: no backend creates topics on the side. `Unavailable` after
        `timeout` seconds, though any of them may arrive all the same.
        """

    async def subscribe(
        self, topic: str, group: str, start: Start, sink: Sink, limits: tuple[int, int]
    ) -> Source:
        """Join a group, made here if need be; raises `NotFound` when there is no such topic.

        `limits` are the most messages and bytes that `sink.room` will ever allow.
        """

    async def forget(self, topic: str, group: str) -> None:
        """Remove a group; nothing if there is none."""

    async def exists(self, topic: str) -> bool:
        """Whether there is such a topic."""

    async def topics(self, names: Collection[str] | None = None) -> Sequence[TopicInfo]:
        """Every topic, or those of these names that exist: for people who look for a fault."""

    async def ping(self) -> None:
        """Raise unless the backend answers."""

    def native(self, kind: type[Any]) -> Any:
        """The backend's own object of that type, or raise TypeError."""

    async def close(self) -> None:
        """Wait for what is being sent, and let go of everything."""
