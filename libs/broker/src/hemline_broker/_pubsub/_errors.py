"""gRPC's statuses as our errors."""

from __future__ import annotations

from collections.abc import Mapping

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


def translate(error: RpcError, doing: str) -> BrokerError:
    """The error of ours that says the same, with the original as its cause."""
    code = error.code()
    kind = _KINDS.get(code, BrokerError)
    hint = (
        "; Pub/Sub reads its credentials from GOOGLE_APPLICATION_CREDENTIALS or the workload's identity"
        if code is StatusCode.UNAUTHENTICATED
        else ""
    )
    translated = kind(f"cannot {doing}: {error.details()} ({code.name}){hint}")
    translated.__cause__ = error
    return translated


def refused_acks(error: RpcError) -> Mapping[str, str]:
    """Of an acknowledgement under exactly-once delivery that failed in part: ack id → why.

    Reasons begin with `PERMANENT_FAILURE` or `TRANSIENT_FAILURE`; ids that are not named succeeded. Empty where the
    error says nothing of the kind.
    """
    found: dict[str, str] = {}
    for name, value in error.trailing_metadata() or ():
        if name != "grpc-status-details-bin":
            continue
        for detail in status_pb2.Status.FromString(value).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                found.update(
                    (ack_id, reason)
                    for ack_id, reason in info.metadata.items()
                    if reason.startswith(("PERMANENT_FAILURE", "TRANSIENT_FAILURE"))
                )
    return found
