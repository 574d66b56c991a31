"""What a call of the Kubernetes API can end in.

    KubeError
    ├── Unreachable   no answer, or the server is overloaded: try again later
    ├── Conflict      somebody else was first: look again, then decide again
    ├── Exists        an object of that name is there already
    ├── Missing       the object, or its kind, is not there
    ├── Forbidden     the operator's role lacks a rule
    ├── Ending        its namespace is being deleted, and takes no new objects
    └── Refused       the server calls the object invalid

``retryable`` says whether the same call can succeed later without anybody changing anything.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

__all__ = [
    "Conflict",
    "Ending",
    "Exists",
    "Forbidden",
    "KubeError",
    "Missing",
    "Refused",
    "Unreachable",
    "error_for",
]

_MAX_MESSAGE: Final = 400


class KubeError(Exception):
    """A call of the Kubernetes API failed."""

    retryable: ClassVar[bool] = False


class Unreachable(KubeError):
    """No answer, or none that says anything about the object."""

    retryable = True


class Conflict(KubeError):
    """The object changed since it was read."""

    retryable = True


class Exists(KubeError):
    """An object of that name is there already."""


class Missing(KubeError):
    """The object, or its kind, is not there."""


class Forbidden(KubeError):
    """The operator's role lacks a rule."""


class Ending(KubeError):
    """The object's namespace is being deleted: it takes no new objects, whatever the operator's rights are."""


class Refused(KubeError):
    """The server calls the object invalid."""


def error_for(status: int, body: Mapping[str, Any], what: str) -> KubeError:
    """The error of an answer that is no success.

    Args:
        status: the HTTP status.
        body: the answer's ``Status`` object; empty when it had none (its text might hold anything, so it is left out).
        what: the call, for the message.
    """
    message = f"{what}: {str(body.get('message') or f'HTTP {status}')[:_MAX_MESSAGE]}"
    reason = body.get("reason")
    if status == 409:
        return Exists(message) if reason == "AlreadyExists" else Conflict(message)
    if status in (404, 410):
        return Missing(message)
    if status == 403 and _namespace_is_ending(body):
        return Ending(message)
    if status in (401, 403):
        return Forbidden(message)
    if status == 429 or status >= 500:
        return Unreachable(message)
    return Refused(message)


def _namespace_is_ending(body: Mapping[str, Any]) -> bool:
    details = body.get("details")
    causes = details.get("causes") if isinstance(details, Mapping) else None
    return any(one.get("reason") == "NamespaceTerminating" for one in causes or ())
