"""Which kinds of other operators the cluster serves."""

from hemline_operator.kube import (
    KAFKA_TOPIC,
    KAFKA_USER,
    POD_MONITOR,
    SCALED_OBJECT,
    Kind,
    KubeApi,
)
from hemline_operator.plan import Capabilities

__all__ = ["discover"]


async def discover(api: KubeApi) -> Capabilities:
    """Ask the API server (any account may).

    Raises:
        KubeError: it did not answer.
    """
    strimzi = await api.served(KAFKA_TOPIC.group)
    keda = await api.served(SCALED_OBJECT.group)
    prometheus = await api.served(POD_MONITOR.group)
    return Capabilities(
        kafka_topic=_version(strimzi, KAFKA_TOPIC),
        kafka_user=_version(strimzi, KAFKA_USER),
        scaled_object=_version(keda, SCALED_OBJECT),
        pod_monitor=_version(prometheus, POD_MONITOR),
    )


def _version(served: dict[str, tuple[str, ...]], kind: Kind) -> str | None:
    versions = served.get(kind.name, ())
    return kind.version if kind.version in versions else next(iter(versions), None)
