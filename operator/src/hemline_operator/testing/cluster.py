"""For tests against a real API server. Needs httpx."""

from hemline_operator.testing._audit import audited, denied, granted, uses
from hemline_operator.testing._cluster import Cluster, message
from hemline_operator.testing._kubelet import PlayedKubelet
from hemline_operator.testing._operator import RunningOperator
from hemline_operator.testing._proxy import WriteProxy
from hemline_operator.testing._stage import Stage, condition

__all__ = [
    "Cluster",
    "PlayedKubelet",
    "RunningOperator",
    "Stage",
    "WriteProxy",
    "audited",
    "condition",
    "denied",
    "granted",
    "message",
    "uses",
]
