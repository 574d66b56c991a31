"""What crosses a process boundary in Hemline, declared once and checked here.

Each submodule is one contract: ``events`` and ``topics`` (broker), ``rollout`` (what serves),
``report`` (what a training run found), ``resources`` (Kubernetes), ``metrics`` (names),
``hashing`` (who belongs where), ``grpc`` (the sample service's generated stubs).
"""

from hemline_api._errors import ApiError, BadEvent, BadReport, BadRollout

__all__ = ["ApiError", "BadEvent", "BadReport", "BadRollout"]
