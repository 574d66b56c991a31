"""What this consumer holds, and until when. Decisions only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hemline_broker._delivery import Lease

# A request with ack ids may have 512 KiB; Google's own client sends 1000 ids at most.
MAX_IDS = 1000
MAX_IDS_BYTES = 400_000


class PubsubLease(Lease):
    """One message's lease.

    Attributes:
        message_id: the server's id of the message.
        ack_id: what renews, ends or gives back the lease; a new one comes with each delivery.
        until: monotonic seconds; the server keeps the message for us so long.
        bound: monotonic seconds; it is not renewed beyond.
    """

    __slots__ = ("ack_id", "bound", "message_id", "until")

    def __init__(self, message_id: str, ack_id: str, until: float, bound: float) -> None:
        super().__init__("")
        self.message_id = message_id
        self.ack_id = ack_id
        self.until = until
        self.bound = bound

    def position(self, offset: int) -> str:
        """The server's id."""
        return self.message_id


class Leases:
    """Every lease that is neither acknowledged nor lost."""

    def __init__(self, lease_s: float, max_lease_s: float) -> None:
        self._lease_s = lease_s
        self._max_lease_s = max_lease_s
        self._held: dict[str, PubsubLease] = {}

    def __len__(self) -> int:
        return len(self._held)

    def take(self, message_id: str, ack_id: str, now: float) -> PubsubLease | None:
        """A lease for a message that arrived; None for one that is held already.

        The server delivers a message again when it thinks its lease is over. Whoever handles it goes on under the new
        lease instead of doing the work twice.
        """
        held = self._held.get(message_id)
        if held is not None and now >= held.until:
            # The process was stopped meanwhile: others may have it, and this delivery may be as old.
            self.lose([held])
        elif held is not None:
            held.ack_id = ack_id
            held.until = now + self._lease_s
            return None
        lease = PubsubLease(message_id, ack_id, now + self._lease_s, now + self._max_lease_s)
        self._held[message_id] = lease
        return lease

    def drop(self, lease: PubsubLease, now: float) -> bool:
        """Acknowledge it; False when it is lost."""
        if now >= lease.until:
            # The process was stopped meanwhile, and nobody has looked since.
            self.lose([lease])
        if lease.lost:
            return False
        if self._held.get(lease.message_id) is lease:
            del self._held[lease.message_id]
        return True

    def lose(self, leases: Sequence[PubsubLease]) -> None:
        """They are over: acks no longer count."""
        for lease in leases:
            lease.lost = True
            if self._held.get(lease.message_id) is lease:
                del self._held[lease.message_id]

    def extend(self, lease: PubsubLease, now: float, seconds: float) -> None:
        """Renew for that much longer than usual."""
        lease.bound = max(lease.bound, now + seconds)

    def overdue(self, now: float) -> list[PubsubLease]:
        """Leases that are over, or may not be renewed any more; they are lost from here on."""
        over = [each for each in self._held.values() if now >= each.until or now >= each.bound]
        self.lose(over)
        return over

    def due(self, now: float) -> list[PubsubLease]:
        """Leases to renew now: a third of their time is gone."""
        before = now + self._lease_s * 2 / 3
        return [each for each in self._held.values() if each.until <= before]

    def renewed(self, leases: Sequence[PubsubLease], asked_at: float) -> None:
        """The server took note."""
        for lease in leases:
            lease.until = max(lease.until, asked_at + self._lease_s)

    def clear(self) -> list[PubsubLease]:
        """Everything that is held; nothing is from here on."""
        held = list(self._held.values())
        self._held.clear()
        for lease in held:
            lease.lost = True
        return held


def chunks(leases: Sequence[PubsubLease]) -> Iterator[list[PubsubLease]]:
    """Parts that fit into one request each."""
    part: list[PubsubLease] = []
    size = 0
    for lease in leases:
        size += len(lease.ack_id) + 4
        if part and (len(part) >= MAX_IDS or size > MAX_IDS_BYTES):
            yield part
            part, size = [], len(lease.ack_id) + 4
        part.append(lease)
    if part:
        yield part
