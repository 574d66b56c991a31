"""The backends of this library, for the table of what they run. Needs the client libraries of all of them."""

from __future__ import annotations

from collections.abc import Mapping

from hemline_broker._kafka._driver import KafkaDriver
from hemline_broker._pubsub._driver import PubsubDriver
from hemline_broker._sqlite._driver import IN_A_FILE, IN_MEMORY
from hemline_broker.testing._behaviour import RESTART

__all__ = ["BACKENDS"]

# Kafka's tests start a broker and restart it; the Pub/Sub emulator forgets everything when it ends.
BACKENDS: Mapping[str, frozenset[str]] = {
    "memory": IN_MEMORY,
    "SQLite": IN_A_FILE,
    "Kafka": KafkaDriver.capabilities | {RESTART},
    "Pub/Sub": PubsubDriver.capabilities,
}
