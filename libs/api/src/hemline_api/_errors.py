"""Errors of ``hemline_api``.

ApiError (ValueError)
├── BadEvent      a message is no prediction or label
├── BadRollout    a rollout document cannot be used
└── BadReport     a training report cannot be read

None of them is worth a retry: the same bytes fail again.
"""

from pydantic import ValidationError

__all__ = ["ApiError", "BadEvent", "BadReport", "BadRollout", "first_problem"]


class ApiError(ValueError):
    """Something received over a boundary does not keep its contract."""


class BadEvent(ApiError):
    """A message on a predictions or labels topic does not hold what that topic carries."""


class BadRollout(ApiError):
    """A rollout document is not JSON, misses a field, or contradicts itself."""


class BadReport(ApiError):
    """A training report is not JSON or misses a field."""


def first_problem(error: ValidationError) -> str:
    """The first thing wrong with a document, in one line: where, what, and what came instead."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "document"
    received = repr(problem.get("input"))
    if len(received) > 60:
        received = received[:57] + "..."
    return f"{where}: {problem['msg']}, received {received}"
