"""Which kinds the cluster serves: the operator's own, and those of other operators."""

from hemline_operator.driver._cache import OWN
from hemline_operator.kube import (
    KAFKA_TOPIC,
    KAFKA_USER,
    POD_MONITOR,
    SCALED_OBJECT,
    Kind,
    KubeApi,
)
from hemline_operator.plan import Capabilities

__all__ = ["discover", "missing_definitions"]


async def missing_definitions(api: KubeApi) -> str | None:
    """Which of the operator's own kinds the cluster does not serve, in words; None: it serves them all.

    Raises:
        KubeError: it did not answer.
    """
    served: dict[str, tuple[str, ...]] = {}
    for group in {kind.group for kind in OWN}:
        served |= await api.served(group)
    missing = [kind for kind in OWN if kind.version not in served.get(kind.name, ())]
    if not missing:
        return None
    names = " and no ".join(f"{kind.name} {kind.version}" for kind in missing)
    return f"the cluster serves no {names}: apply Hemline's custom resource definitions"


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
