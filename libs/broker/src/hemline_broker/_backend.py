"""What a backend says of itself: capabilities, topics, settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Capability", "Configuration", "TopicInfo"]


class Capability(StrEnum):
    """What a backend may or may not be able to do."""

    PERSISTENT = "persistent"  # messages outlive every process
    SHARED = "shared"  # several processes can take part
    OLDEST = "oldest"  # a new group can begin with messages sent before it
    KEY_AFFINITY = "key-affinity"  # one key is with one consumer of a group at a time
    ORDERED = "ordered"  # messages of one key arrive in the order sent
    DURABLE_ATTEMPTS = "durable-attempts"  # `attempt` survives the death of the consumer
    LAG = "lag"  # `Subscription.lag`
    TRANSACTIONS = (
        "transactions"  # outputs and acks that take effect together: `Broker.transaction`
    )
    PARTITIONS = (
        "partitions"  # topics have partitions that limit the number of consumers of a group
    )


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as the broker knows it.

    Attributes:
        name: its name.
        partitions: how many, 1 where there is no such thing.
        messages: messages held, None where unknown.
        groups: group → messages not yet acknowledged, None where the backend does not tell.
    """

    name: str
    partitions: int
    messages: int | None
    groups: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a backend's operator has set: of each broker, and of each topic with its number of replicas."""

    servers: str
    brokers: Mapping[str, Mapping[str, str]]
    topics: Mapping[str, tuple[Mapping[str, str], int]]
