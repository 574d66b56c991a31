"""What the operator is told at its start."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hemline_operator.plan import Platform

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of the operator's process."""

    namespaces: Sequence[str] = ()
    """Namespaces to look after; empty: all of them, with a role for the whole cluster."""

    platform: Platform = field(default_factory=Platform)
    """Settings that hold for every classifier."""

    workers: int = 8
    """Classifiers reconciled at once."""

    resync_seconds: float = 300.0
    """Every classifier is looked at at least this often, whatever events may have been missed."""

    freshness_seconds: float = 60.0
    """How often what the watches brought is compared with what the API server has."""

    stale_seconds: float = 90.0
    """How long a watch may be behind before the process reports itself as unhealthy."""

    http: str = "0.0.0.0:9090"  # probes and Prometheus come from outside the pod
    """Address of /metrics, /healthz, /readyz and /status."""

    log_format: str = "json"
    """json or text."""

    log_level: str = "info"
    """debug, info, warning or error."""
