"""Messages of one lease that came together, before anybody looks at one of them.

Most of a stream is read in batches and acknowledged in batches. A run carries such messages from the driver to the
reader and back as one thing: one entry in each queue, one step of the watermark. The deliveries in it are made when
somebody asks for them, and from then on each goes its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hemline_broker._delivery import OVERHEAD_BYTES, WAITING, Delivery, Lease, Owner
from hemline_broker._message import Message


class Run:
    """First deliveries of one lease, in ascending order of offsets.

    Attributes:
        topic: where they came from.
        lease: what the driver holds them by.
        natives: the backend's own objects, one for each message.
        offsets: of the messages.
        sizes: bytes of each body.
        size: bytes of all bodies.
        state: as a delivery's, until its deliveries are made: from then on theirs count.
    """

    __slots__ = (
        "_decode", "_deliveries", "_messages", "_owner", "lease", "natives", "offsets", "size", "sizes", "state",
        "topic",
    )  # fmt: skip

    def __init__(
        self,
        topic: str,
        lease: Lease,
        natives: Sequence[Any],
        offsets: Sequence[int],
        sizes: Sequence[int],
        decode: Callable[[Any], Message],
        owner: Owner,
    ) -> None:
        self.topic = topic
        self.lease = lease
        self.natives = natives
        self.offsets = offsets
        self.sizes = sizes
        self.size = sum(sizes)
        self.state = WAITING
        self._decode = decode
        self._owner = owner
        self._messages: Sequence[Message] | None = None
        self._deliveries: Sequence[Delivery] | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def cost(self) -> int:
        """Bytes that count against `in_flight_bytes`."""
        return self.size + OVERHEAD_BYTES * len(self.offsets)

    @property
    def opened(self) -> bool:
        """Whether its deliveries were made, and are what counts now."""
        return self._deliveries is not None

    @property
    def messages(self) -> Sequence[Message]:
        """The messages alone; always the same ones."""
        if self._messages is None:
            self._messages = [*map(self._decode, self.natives)]
        return self._messages

    def split(self, count: int) -> Run:
        """Take the first so many off this run, which nobody has looked into yet."""
        first = Run(
            self.topic, self.lease, self.natives[:count], self.offsets[:count], self.sizes[:count], self._decode,
            self._owner,
        )  # fmt: skip
        self.natives = self.natives[count:]
        self.offsets = self.offsets[count:]
        self.sizes = self.sizes[count:]
        self.size -= first.size
        return first

    def deliveries(self) -> Sequence[Delivery]:
        """Every message as a delivery in the state that the run is in; always the same ones."""
        made = self._deliveries
        if made is None:
            topic, lease, owner, state = self.topic, self.lease, self._owner, self.state
            made = self._deliveries = [
                Delivery(message, topic, 1, lease, offset, owner, native)
                for message, offset, native in zip(
                    self.messages, self.offsets, self.natives, strict=True
                )
            ]
            if state != WAITING:
                for delivery in made:
                    delivery.state = state
        return made
