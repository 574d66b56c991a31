"""A message on its way through a handler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from hemline_broker._message import Message

if TYPE_CHECKING:
    from hemline_broker._run import Run

T = TypeVar("T")

WAITING, HANDED, SETTLED, PARKED, ENLISTED = range(5)
# What a delivery costs beside its body: so that a flood of empty messages is bounded by bytes as well.
OVERHEAD_BYTES = 256


class Lease:
    """What a driver holds for a run of messages: an assignment of a partition, a claim on a range.

    Attributes:
        prefix: what stands before the offset in a position, such as `topic/0/`.
        lost: the messages belong to another consumer now; acks no longer count.
        stopping: the lease is about to go: nothing more of it is handed out.
        in_hand: deliveries of it that are handed out and not settled; counted by the subscription.
    """

    __slots__ = ("in_hand", "lost", "prefix", "stopping")

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.lost = False
        self.stopping = False
        self.in_hand = 0

    def position(self, offset: int) -> str:
        """Where a message of it lies; opaque to users."""
        return f"{self.prefix}{offset}"


class Owner(Protocol):
    """Who settles deliveries: the subscription."""

    def settle(self, deliveries: Sequence[Delivery | Run]) -> None:
        """Acknowledge."""

    def open(self, run: Run) -> Sequence[Delivery]:
        """The deliveries of a run, each for itself from now on."""

    def nack(self, delivery: Delivery, delay: float) -> None:
        """Deliver again later."""

    def reject(self, delivery: Delivery, reason: str) -> None:
        """Dead-letter."""

    def extend(self, delivery: Delivery, seconds: float) -> None:
        """Keep for longer."""


class Delivery:
    """One message given to one handler. Settle it once, on the event loop: `ack`, `nack` or `reject`.

    A second settlement does nothing. What is not settled when the subscription closes, or when the process dies,
    comes again, here or at another consumer of the group.

    Attributes:
        message: the message.
        topic: where it came from.
        attempt: 1 for the first delivery. Deliveries to consumers that died count where the backend can tell
            (`Capability.DURABLE_ATTEMPTS`).
        failures: how many of the attempts ended in a `nack`. They alone lead to the dead-letter topic: a message
            is not given up because consumers were stopped.
    """

    __slots__ = (
        "_native", "_owner", "attempt", "failures", "lease", "message", "offset", "state", "topic",
    )  # fmt: skip

    def __init__(
        self,
        message: Message,
        topic: str,
        attempt: int,
        lease: Lease,
        offset: int,
        owner: Owner,
        native: object = None,
        failures: int = 0,
    ) -> None:
        self.message = message
        self.topic = topic
        self.attempt = attempt
        self.lease = lease
        self.offset = offset
        self.state = WAITING
        self.failures = failures
        self._owner = owner
        self._native = native

    @property
    def position(self) -> str:
        """Where the message lies: `topic/partition/offset`, or the server's id. Opaque."""
        return self.lease.position(self.offset)

    def ack(self) -> None:
        """The effect of this message is durable: never deliver it again. Cheap; never blocks."""
        self._owner.settle((self,))

    def nack(self, delay: float = 0.0) -> None:
        """Deliver it again after at least `delay` seconds, or dead-letter it when its attempts are used up."""
        self._owner.nack(self, delay)

    def reject(self, reason: str) -> None:
        """It can never be processed: send it to the dead-letter topic with this reason, and acknowledge it."""
        self._owner.reject(self, reason)

    def extend(self, seconds: float) -> None:
        """Keep it for this much longer. Only backends with a lease per message (Pub/Sub) need it."""
        self._owner.extend(self, seconds)

    def native(self, kind: type[T]) -> T:
        """The backend's own message object.

        Raises:
            TypeError: this backend has none of that type.
        """
        if isinstance(self._native, kind):
            return self._native
        raise TypeError(f"this delivery carries {type(self._native).__name__}, not {kind.__name__}")

    def following(self, *, failed: bool) -> Delivery:
        """The next attempt of this one. For the subscription: handlers call `nack`."""
        return Delivery(
            self.message, self.topic, self.attempt + 1, self.lease, self.offset, self._owner, self._native,
            self.failures + failed,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Delivery {self.message.id} at {self.position}, attempt {self.attempt}>"


class Batch(Sequence[Delivery]):
    """Deliveries that were waiting together, in order.

    Reading `messages` and settling the batch as a whole is the fast way: deliveries are made when one is asked for.
    """

    __slots__ = ("_deliveries", "_owner", "_parts", "_size")

    def __init__(self, parts: Sequence[Delivery | Run], owner: Owner) -> None:
        self._parts = parts
        self._owner = owner
        self._deliveries: Sequence[Delivery] | None = None
        self._size = sum(1 if isinstance(part, Delivery) else len(part) for part in parts)

    @property
    def messages(self) -> Sequence[Message]:
        """The messages of the deliveries."""
        return [
            *chain.from_iterable(
                (part.message,) if isinstance(part, Delivery) else part.messages
                for part in self._parts
            )
        ]

    @overload
    def __getitem__(self, index: int) -> Delivery: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Delivery]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._all()[index]

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._all())

    def ack(self) -> None:
        """Acknowledge every delivery of the batch that is not settled yet."""
        self._owner.settle(self._parts)

    def nack(self, delay: float = 0.0) -> None:
        """Deliver every delivery of the batch that is not settled yet again after at least `delay` seconds."""
        for delivery in self._all():
            delivery.nack(delay)

    def _all(self) -> Sequence[Delivery]:
        if self._deliveries is None:
            self._deliveries = [
                *chain.from_iterable(
                    (part,) if isinstance(part, Delivery) else self._owner.open(part)
                    for part in self._parts
                )
            ]
        return self._deliveries
