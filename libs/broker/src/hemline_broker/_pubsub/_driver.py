"""The Pub/Sub driver: topics, and a subscription for each group."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import grpc
from google.pubsub_v1 import types

from hemline_broker._driver import Capability, Sink, Source, Start, TopicInfo
from hemline_broker._errors import BrokerError, Denied, InvalidOption, NotFound, Unsupported
from hemline_broker._message import Message, Receipt
from hemline_broker._pubsub._publisher import ORDERED_LABEL, Publisher
from hemline_broker._pubsub._rpc import Connection, open_connection
from hemline_broker._pubsub._settings import Settings
from hemline_broker._pubsub._source import PubsubSource
from hemline_broker._url import BrokerURL

_PING_S = 10.0
# What Pub/Sub says for the topic of a subscription that has outlived it.
_DELETED = "_deleted-topic_"
_LABELS = {"managed-by": "hemline-broker"}
_LISTS: dict[str, Any] = {
    "ListTopics": types.ListTopicsRequest.pb(),
    "ListSubscriptions": types.ListSubscriptionsRequest.pb(),
    "ListTopicSubscriptions": types.ListTopicSubscriptionsRequest.pb(),
}


class PubsubDriver:
    """See `hemline_broker._driver.Driver`."""

    capabilities = frozenset(
        {Capability.PERSISTENT, Capability.SHARED, Capability.OLDEST, Capability.ORDERED}
    )
    # Pub/Sub carries requests of 10,000,000 bytes; its framing of attributes is larger than ours.
    max_message_bytes = 9_900_000

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._settings = connection.settings
        self._publisher = Publisher(connection)

    async def ensure(
        self, topic: str, group: str | None, partitions: int, start: Start, ordered: bool
    ) -> None:
        """Create what is missing."""
        found = await self._look(topic)
        if found is None:
            found = await self._create_topic(topic, ordered)
            self._publisher.forget(topic)
        elif ordered and ORDERED_LABEL not in found.labels:
            raise Unsupported(
                f"topic {topic!r} exists and is not ordered, which Pub/Sub cannot change for its subscriptions: "
                "make a topic of another name"
            )
        if group is not None and not await self._has_group(topic, group):
            await self._create_group(topic, group, start, found)

    async def send(
        self, topic: str, messages: Sequence[Message], timeout: float
    ) -> Sequence[Receipt | BrokerError]:
        """Hand them to the publisher."""
        return await self._publisher.send(topic, messages, timeout)

    async def subscribe(
        self, topic: str, group: str, start: Start, sink: Sink, limits: tuple[int, int]
    ) -> Source:
        """Open a streaming pull."""
        if not await self._has_group(topic, group):
            found = await self._look(topic)
            if found is None:
                raise NotFound(f"topic {topic!r} does not exist; call ensure({topic!r}) first")
            await self._create_group(topic, group, start, found)
        return PubsubSource(self._connection, topic, group, sink, limits)

    async def forget(self, topic: str, group: str) -> None:
        """Delete the subscription."""
        name = self._connection.subscription(topic, group)
        request = types.DeleteSubscriptionRequest.pb()(subscription=name)
        try:
            await self._connection.call("DeleteSubscription", request, f"forget group {group!r}")
        except NotFound:
            return

    async def exists(self, topic: str) -> bool:
        """Look; without the right to look, assume so."""
        try:
            return await self._look(topic) is not None
        except Denied:
            return True

    async def topics(self, names: Collection[str] | None = None) -> Sequence[TopicInfo]:
        """Groups of each; how much waits Pub/Sub does not tell."""
        groups: dict[str, list[str]] = {}
        if names is None:
            project = f"projects/{self._settings.project}"
            for found in await self._list("ListTopics", "topics", project=project):
                groups[found.name] = []
            for each in await self._list("ListSubscriptions", "subscriptions", project=project):
                if each.topic in groups:
                    groups[each.topic].append(each.name)
        else:
            for name in set(names):
                # Asked first, because the emulator lists nothing, without a word, for what does not exist.
                if await self.exists(name):
                    topic = self._connection.topic(name)
                    groups[topic] = await self._list(
                        "ListTopicSubscriptions", "subscriptions", topic=topic
                    )
        return [_info(topic, subscriptions) for topic, subscriptions in sorted(groups.items())]

    async def ping(self) -> None:
        """Ask for one topic. An account that may not list topics has its answer as well."""
        request = types.ListTopicsRequest.pb()(
            project=f"projects/{self._settings.project}", page_size=1
        )
        try:
            await self._connection.call("ListTopics", request, "reach Pub/Sub", _PING_S)
        except Denied as error:
            cause = error.__cause__
            if not (
                isinstance(cause, grpc.RpcError)
                and cause.code() is grpc.StatusCode.PERMISSION_DENIED
            ):
                raise

    def native(self, kind: type[Any]) -> Any:
        """The gRPC channel, which Google's asynchronous clients take as their transport's."""
        if isinstance(self._connection.channel, kind):
            return self._connection.channel
        raise TypeError(
            f"the Pub/Sub driver has a grpc.aio.Channel, no object of type {kind.__name__}"
        )

    async def close(self) -> None:
        """Finish sending, disconnect."""
        await self._publisher.close()
        await self._connection.close()

    async def _look(self, topic: str) -> Any | None:
        request = types.GetTopicRequest.pb()(topic=self._connection.topic(topic))
        try:
            return await self._connection.call("GetTopic", request, f"look at topic {topic!r}")
        except NotFound:
            return None

    async def _create_topic(self, topic: str, ordered: bool) -> Any:
        new = types.Topic.pb()(name=self._connection.topic(topic), labels=_LABELS)
        if ordered:
            new.labels[ORDERED_LABEL] = "true"
        if self._settings.retention_s:
            new.message_retention_duration.seconds = self._settings.retention_s
        if await self._create("CreateTopic", new, f"make topic {topic!r}"):
            return new
        return await self._look(topic)

    async def _create_group(self, topic: str, group: str, start: Start, found: Any) -> None:
        kept = found.message_retention_duration.seconds
        if start == "oldest" and not kept:
            raise Unsupported(
                f"group {group!r} of {topic!r} does not exist and cannot begin with the oldest message, because the "
                f"topic keeps none: make the group with start='new', or first let the topic keep messages: "
                f"gcloud pubsub topics update {topic} --message-retention-duration=1d"
            )
        name = self._connection.subscription(topic, group)
        new = types.Subscription.pb()(
            name=name,
            topic=found.name,
            labels=_LABELS,
            ack_deadline_seconds=self._settings.lease_s,
            enable_message_ordering=ORDERED_LABEL in found.labels,
        )
        # Without this, Pub/Sub deletes a subscription, and what waits in it, that rests for a month.
        new.expiration_policy.SetInParent()
        began = time.time()
        made = await self._create("CreateSubscription", new, f"make group {group!r} of {topic!r}")
        if not made or not kept:
            return
        if self._settings.secure:
            if start == "oldest":
                await self._seek(name, began - kept)
        elif not new.enable_message_ordering:
            # The emulator, unlike Pub/Sub, lets every group of a topic that keeps messages begin with the oldest, and
            # cannot seek where there is order. Only there is our clock the server's: elsewhere a seek to now could skip
            # messages sent meanwhile.
            await self._seek(name, began - kept if start == "oldest" else began)

    async def _seek(self, subscription: str, to: float) -> None:
        request = types.SeekRequest.pb()(subscription=subscription)
        request.time.FromMicroseconds(max(int(to * 1e6), 0))
        await self._connection.call("Seek", request, f"seek {subscription}")

    async def _create(self, method: str, new: Any, doing: str) -> bool:
        """False if somebody else was faster."""
        try:
            await self._connection.call(method, new, doing)
        except BrokerError as error:
            cause = error.__cause__
            if isinstance(cause, grpc.RpcError) and cause.code() is grpc.StatusCode.ALREADY_EXISTS:
                return False
            raise
        return True

    async def _has_group(self, topic: str, group: str) -> bool:
        name = self._connection.subscription(topic, group)
        request = types.GetSubscriptionRequest.pb()(subscription=name)
        try:
            found = await self._connection.call(
                "GetSubscription", request, f"look at group {group!r}"
            )
        except NotFound:
            return False
        except Denied:
            # A right to consume alone does not let us look; if it is missing, the stream says so.
            return True
        if found.topic == _DELETED:
            raise NotFound(
                f"group {group!r} of {topic!r} reads a topic that was deleted, and can read no other: call "
                f"forget({topic!r}, {group!r}), then ensure({topic!r}, {group!r})"
            )
        if found.topic not in ("", self._connection.topic(topic)):
            raise InvalidOption(
                f"group {group!r} of {topic!r} would be the subscription {name}, which reads {found.topic}: "
                "take another name for the group"
            )
        return True

    async def _list(self, method: str, field: str, **of: str) -> list[Any]:
        """Every page of a list; `of` is the one field that says whose."""
        found: list[Any] = []
        token = ""
        (owner,) = of.values()
        while True:
            request = _LISTS[method](**of, page_size=1000, page_token=token)
            page = await self._connection.call(method, request, f"list the {field} of {owner}")
            found += getattr(page, field)
            token = page.next_page_token
            if not token:
                return found


def _info(topic: str, subscriptions: Sequence[str]) -> TopicInfo:
    """A topic from full names; a subscription that another program made keeps its own."""
    name = topic.rsplit("/", 1)[1]
    groups = (each.rsplit("/", 1)[1].removeprefix(f"{name}.") for each in sorted(subscriptions))
    return TopicInfo(name, 1, None, dict.fromkeys(groups))


async def open_driver(url: BrokerURL, max_message_bytes: int) -> PubsubDriver:
    """A driver for a `pubsub:` URL, connected.

    Raises:
        Unavailable, Denied: nobody answers, or the credentials are missing or refused.
    """
    driver = PubsubDriver(await open_connection(Settings.parse(url)))
    try:
        await driver.ping()
    except BaseException:
        await driver.close()
        raise
    return driver
