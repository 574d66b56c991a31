"""The connection: Google's protocol on grpc.aio, without the wrappers that Google's clients put around each message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from google.api_core import grpc_helpers_async
from google.auth import default as default_credentials
from google.auth.exceptions import DefaultCredentialsError
from google.protobuf.empty_pb2 import Empty
from google.pubsub_v1 import types

from hemline_broker._errors import BrokerError, Closed, Denied
from hemline_broker._pubsub._errors import RETRYABLE, translate
from hemline_broker._pubsub._settings import Settings

_SCOPES = ("https://www.googleapis.com/auth/pubsub",)
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC's own pauses grow to two minutes, in which a service that is back is not noticed.
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
# A connection that died without a word is found within a minute. Emulators take such pings for an attack.
_KEEPALIVE = (("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 20_000))
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_ATTEMPT_S = 60.0
ADMIN_TIMEOUT_S = 30.0

# Method → the service, and the class of its answer; a field of the request that routes it.
_UNARY = {
    "CreateTopic": ("Publisher", types.Topic.pb(), "name"),
    "GetTopic": ("Publisher", types.Topic.pb(), "topic"),
    "ListTopics": ("Publisher", types.ListTopicsResponse.pb(), "project"),
    "Publish": ("Publisher", types.PublishResponse.pb(), "topic"),
    "CreateSubscription": ("Subscriber", types.Subscription.pb(), "name"),
    "GetSubscription": ("Subscriber", types.Subscription.pb(), "subscription"),
    "ListTopicSubscriptions": ("Publisher", types.ListTopicSubscriptionsResponse.pb(), "topic"),
    "ListSubscriptions": ("Subscriber", types.ListSubscriptionsResponse.pb(), "project"),
    "DeleteSubscription": ("Subscriber", Empty, "subscription"),
    "Seek": ("Subscriber", types.SeekResponse.pb(), "subscription"),
    "Acknowledge": ("Subscriber", Empty, "subscription"),
    "ModifyAckDeadline": ("Subscriber", Empty, "subscription"),
}


class Pause:
    """Growing pauses between attempts."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE_S

    async def rest(self, at_most: float = _LONGEST_PAUSE_S) -> None:
        """Wait, each time longer."""
        await asyncio.sleep(min(self._next, at_most))
        self._next = min(2 * self._next, _LONGEST_PAUSE_S)

    def reset(self) -> None:
        """It went well."""
        self._next = _FIRST_PAUSE_S


class Connection:
    """Calls of the Publisher and Subscriber services of one project."""

    def __init__(self, settings: Settings, channel: grpc.aio.Channel) -> None:
        self.settings = settings
        self.channel = channel
        self._methods = {
            name: channel.unary_unary(
                f"/google.pubsub.v1.{service}/{name}",
                request_serializer=_serialize,
                response_deserializer=answer.FromString,
            )
            for name, (service, answer, _) in _UNARY.items()
        }
        self._pull = channel.stream_stream(
            "/google.pubsub.v1.Subscriber/StreamingPull",
            request_serializer=_serialize,
            response_deserializer=types.StreamingPullResponse.pb().FromString,
        )
        self._closed = False

    def topic(self, name: str) -> str:
        """Full name of a topic."""
        return f"projects/{self.settings.project}/topics/{name}"

    def subscription(self, topic: str, group: str) -> str:
        """Full name of a group's subscription."""
        return f"projects/{self.settings.project}/subscriptions/{topic}.{group}"

    async def once(self, method: str, request: Any, timeout: float) -> Any:
        """One attempt.

        Raises:
            grpc.RpcError: as it came.
        """
        routing = getattr(request, _UNARY[method][2])
        return await self._methods[method](
            request, timeout=timeout, metadata=_routing(_UNARY[method][2], routing)
        )

    async def call(
        self, method: str, request: Any, doing: str, timeout: float = ADMIN_TIMEOUT_S
    ) -> Any:
        """Attempts until one succeeds, fails for good, or `timeout` seconds are over.

        Raises:
            NotFound, Denied, Unavailable, BrokerError: what Pub/Sub said at last.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        pause = Pause()
        while True:
            left = max(end - loop.time(), 0.001)
            try:
                return await self.once(method, request, min(left, _ATTEMPT_S))
            except grpc.RpcError as error:
                if self._closed:
                    raise Closed(f"cannot {doing}: the broker was closed") from error
                if error.code() not in RETRYABLE or loop.time() + _FIRST_PAUSE_S >= end:
                    raise translate(error, doing, method) from error
            await pause.rest()

    def pull(self, subscription: str) -> Any:
        """A stream of messages; the first request is still to be written."""
        return self._pull(metadata=_routing("subscription", subscription))

    async def close(self) -> None:
        """Let go of the channel."""
        self._closed = True
        await self.channel.close()


async def open_connection(settings: Settings) -> Connection:
    """Make the channel; nothing is sent yet.

    Raises:
        Denied: there are no credentials.
    """
    if not settings.secure:
        return Connection(
            settings, grpc.aio.insecure_channel(settings.endpoint, options=list(_OPTIONS))
        )
    try:
        # It reads files and may ask the machine's metadata server.
        credentials, _ = await asyncio.to_thread(default_credentials, scopes=_SCOPES)
    except DefaultCredentialsError as error:
        raise Denied(f"no credentials for Pub/Sub: {error}") from error
    channel = grpc_helpers_async.create_channel(
        settings.endpoint, credentials=credentials, options=[*_OPTIONS, *_KEEPALIVE]
    )
    return Connection(settings, channel)


def as_broker_error(error: BaseException, doing: str) -> BrokerError:
    """Whatever else a call raised, as ours."""
    if isinstance(error, BrokerError):
        return error
    unexpected = BrokerError(f"cannot {doing}: {type(error).__name__}: {error}")
    unexpected.__cause__ = error
    return unexpected


def _serialize(request: Any) -> bytes:
    serialized: bytes = request.SerializeToString()
    return serialized


def _routing(name: str, value: str) -> Sequence[tuple[str, str]]:
    # How Google's front ends find the region of a topic or subscription.
    return (("x-goog-request-params", f"{name}={value.replace('/', '%2F')}"),)
