"""gRPC's statuses as our errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from google.rpc import error_details_pb2, status_pb2
from grpc import RpcError, StatusCode

from hemline_broker._errors import BrokerError, Denied, NotFound, Unavailable

# What Google's own clients try again.
RETRYABLE = frozenset(
    {
        StatusCode.ABORTED,
        StatusCode.CANCELLED,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.INTERNAL,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAVAILABLE,
        StatusCode.UNKNOWN,
    }
)
_KINDS: Mapping[StatusCode, type[BrokerError]] = {
    StatusCode.NOT_FOUND: NotFound,
    StatusCode.PERMISSION_DENIED: Denied,
    StatusCode.UNAUTHENTICATED: Denied,
    **dict.fromkeys(RETRYABLE, Unavailable),
}


# Method → the permission it needs, and the least of Google's roles that has it.
_PERMISSIONS = {
    "CreateTopic": ("pubsub.topics.create", "roles/pubsub.editor"),
    "GetTopic": ("pubsub.topics.get", "roles/pubsub.viewer"),
    "ListTopics": ("pubsub.topics.list", "roles/pubsub.viewer"),
    "ListTopicSubscriptions": ("pubsub.topics.listSubscriptions", "roles/pubsub.viewer"),
    "Publish": ("pubsub.topics.publish", "roles/pubsub.publisher"),
    "CreateSubscription": (
        "pubsub.subscriptions.create and pubsub.topics.attachSubscription",
        "roles/pubsub.editor",
    ),
    "GetSubscription": ("pubsub.subscriptions.get", "roles/pubsub.viewer"),
    "ListSubscriptions": ("pubsub.subscriptions.list", "roles/pubsub.viewer"),
    "DeleteSubscription": ("pubsub.subscriptions.delete", "roles/pubsub.editor"),
}
_CONSUMING = ("pubsub.subscriptions.consume", "roles/pubsub.subscriber")


def translate(error: RpcError, doing: str, method: str) -> BrokerError:
    """The error of ours that says the same and how to mend it, with the original as its cause."""
    code = error.code()
    kind = _KINDS.get(code, BrokerError)
    translated = kind(f"cannot {doing}: {error.details()} ({code.name}){_hint(code, method)}")
    translated.__cause__ = error
    return translated


def _hint(code: StatusCode, method: str) -> str:
    if code is StatusCode.UNAUTHENTICATED:
        return "; Pub/Sub reads its credentials from GOOGLE_APPLICATION_CREDENTIALS or the workload's identity"
    if code is StatusCode.PERMISSION_DENIED:
        permission, role = _PERMISSIONS.get(method, _CONSUMING)
        return f"; it needs the permission {permission}, which {role} has"
    if code is StatusCode.NOT_FOUND:
        return (
            "; is the project's id right?"
            if method in ("ListTopics", "ListSubscriptions")
            else "; `ensure` makes topics and groups that are missing"
        )
    return ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Ack ids that a request under exactly-once delivery did not change; all others of the request are done."""

    for_good: frozenset[str] = frozenset()
    for_now: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.for_good or self.for_now)


def refused_acks(error: RpcError) -> Refused:
    """What an acknowledgement or renewal that failed in part left undone; empty where the error says nothing of it."""
    reasons: dict[str, str] = {}
    for name, value in error.trailing_metadata() or ():
        if name != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                reasons.update(info.metadata)
    return Refused(
        frozenset(each for each, why in reasons.items() if why.startswith("PERMANENT_FAILURE")),
        frozenset(each for each, why in reasons.items() if why.startswith("TRANSIENT_FAILURE")),
    )
