"""A real Kafka that both the pods of a node and the tests reach."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cluster_kit._node import Node
from cluster_kit._places import KIT, Unavailable, cache

__all__ = ["NodeKafka", "kafka_beside"]


@dataclass(frozen=True, slots=True)
class NodeKafka:
    """One broker by its two names.

    Args:
        pods: HOST:PORT as pods reach it: what goes into ``spec.broker.address``.
        host: HOST:PORT as the tests reach it.
    """

    pods: str
    host: str

    @property
    def url(self) -> str:
        """The broker as the tests' own ``connect`` takes it."""
        return f"kafka://{self.host}"


@contextmanager
def kafka_beside(node: Node) -> Iterator[NodeKafka]:
    """A broker for as long as the block lasts.

    Beside a cluster of your own, HEMLINE_TEST_KAFKA names the broker as the tests reach it and HEMLINE_TEST_KAFKA_PODS
    as its pods do (with Strimzi on kind: a node port and the bootstrap service).

    Raises:
        Unavailable: there is none, and none can be started.
    """
    if node.folder is None:
        host, pods = (os.environ.get(f"HEMLINE_TEST_KAFKA{one}") for one in ("", "_PODS"))
        if not host or not pods:
            raise Unavailable(
                "beside a cluster of your own, name a broker in HEMLINE_TEST_KAFKA (HOST:PORT as the tests reach it) "
                "and HEMLINE_TEST_KAFKA_PODS (as pods do)"
            )
        yield NodeKafka(pods, host.removeprefix("kafka://"))
        return
    script = KIT / "kafka" / "kafka.sh"
    environment = os.environ | {"HEMLINE_CLUSTER": str(cache())}
    # One that an earlier run left has no listener on this node's address.
    subprocess.run([script, "down"], env=environment, check=True, timeout=60)
    up = subprocess.run(
        [script, "up"], env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    if up.returncode:
        raise Unavailable(f"tests/cluster/kafka/kafka.sh up failed: {up.stderr.strip()[-500:]}")
    try:
        yield NodeKafka("10.251.0.1:29094", "127.0.0.1:29092")
    finally:
        subprocess.run([script, "down"], env=environment, check=True, timeout=60)
