"""Topics, groups and offsets: what the administration client does."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined] # the package lists no exports
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from hemline_broker._driver import Configuration, Start, TopicInfo
from hemline_broker._errors import BrokerError, Denied, NotFound, Unavailable
from hemline_broker._kafka._client_log import client_log
from hemline_broker._kafka._errors import is_denied, making_a_client, translate
from hemline_broker._kafka._group_offsets import GroupOffsets
from hemline_broker._kafka._settings import Settings
from hemline_broker._message import DEFAULT_MAX_MESSAGE_BYTES

_log = logging.getLogger(__name__)

_TIMEOUT_S = 15.0
_PATIENCE_S = 60.0
_LOOK_EVERY_S = 0.2
_UNREACHABLE = (KafkaError._TRANSPORT, KafkaError._RESOLVE)
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]


class KafkaAdmin:
    """One administration client. Its calls return futures, so nothing here needs a thread of ours."""

    def __init__(self, settings: Settings, max_message_bytes: int) -> None:
        self._settings = settings
        self._max_message_bytes = max_message_bytes
        self._denied: KafkaError | None = None
        self._trouble: KafkaError | None = None
        configuration: Any = {
            **settings.client,
            "error_cb": self._note,
            "socket.connection.setup.timeout.ms": 10_000,
        }
        with making_a_client():
            self.client = AdminClient(configuration, logger=client_log())
        self._offsets = GroupOffsets(settings)

    def _note(self, error: KafkaError) -> None:
        if is_denied(error):
            self._denied = error
        elif error.code() in _UNREACHABLE:
            self._trouble = error

    async def close(self) -> None:
        """Close what reads the groups' offsets."""
        await self._offsets.close()

    async def ping(self) -> None:
        """Ask for the cluster's nodes."""
        servers = self._settings.client["bootstrap.servers"]
        self._trouble = None
        cluster = self.client.describe_cluster(request_timeout=_TIMEOUT_S)
        try:
            nodes = await self._result(cluster, f"reach the brokers at {servers}")
        except Unavailable as error:
            # The answer says no more than that time is up; why was told on the side.
            if self._trouble is None:
                raise
            raise Unavailable(f"{error}; {self._trouble.str()}") from error.__cause__
        if not nodes.nodes:
            raise Unavailable("the cluster names no broker")

    async def ensure_topic(self, topic: str, partitions: int) -> None:
        """Make a topic unless it exists."""
        if await self.partitions(topic):
            return
        # The broker's own default of 1 MB would refuse what every other backend carries.
        config = {"max.message.bytes": str(max(self._max_message_bytes, DEFAULT_MAX_MESSAGE_BYTES))}
        if self._settings.retention_s is not None:
            config["retention.ms"] = str(self._settings.retention_s * 1000)
        new = NewTopic(
            topic,
            num_partitions=max(partitions, self._settings.partitions),
            replication_factor=self._settings.replication,
            config=config,
        )
        future = self.client.create_topics([new], request_timeout=_TIMEOUT_S)[topic]
        try:
            await self._result(future, f"make topic {topic!r}")
        except BrokerError as error:
            if _code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        deadline = asyncio.get_running_loop().time() + _TIMEOUT_S
        while not await self.partitions(topic):
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(
                    f"topic {topic!r} was made but is not there after {_TIMEOUT_S:g} s"
                )
            await asyncio.sleep(0.05)

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has, 0 if it does not exist. Never makes one."""
        asked = self.client.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT_S)
        try:
            return len((await self._result(asked[topic], f"describe topic {topic!r}")).partitions)
        except NotFound:
            return 0

    async def limit(self, topic: str) -> int | None:
        """Bytes of the largest record that a topic takes; None where that may not be read."""
        try:
            settings = await self._settings_of(ResourceType.TOPIC, topic)
        except Denied:
            return None
        return int(settings.get("max.message.bytes", 0)) or None

    async def ensure_group(self, topic: str, group: str, start: Start) -> None:
        """Commit a group's starting offsets for the partitions where it has none.

        The first group of a cluster waits until the brokers have made their own topic of offsets.
        """
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while True:
            try:
                return await self._ensure_group(topic, group, start)
            except Unavailable as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                _log.info("%s; trying again", error)
                await asyncio.sleep(0.5)

    async def _ensure_group(self, topic: str, group: str, start: Start) -> None:
        count = await self.partitions(topic)
        parts = [TopicPartition(topic, number) for number in range(count)]
        if not await self._uncommitted(group, parts):
            return
        spec = _LATEST if start == "new" else _EARLIEST
        ends = await self._ends(parts, spec)
        # Another process may have done the same meanwhile: its offsets are older and must stay.
        missing = await self._uncommitted(group, parts)
        if not missing:
            return
        offsets = [TopicPartition(topic, number, ends[number]) for number in missing]
        try:
            await self._offsets.commit(group, offsets)
        except BrokerError as error:
            # The group has members, who committed their own start when they joined.
            if _code(error) not in (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP):
                raise

    async def forget(self, group: str) -> None:
        """Delete a group."""
        await self._offsets.forget(group)
        future = self.client.delete_consumer_groups([group], request_timeout=_TIMEOUT_S)[group]
        with suppress(NotFound):
            await self._result(future, f"delete group {group!r}")

    async def lag(self, topic: str, group: str) -> int:
        """Messages after what the group has committed."""
        count = await self.partitions(topic)
        parts = [TopicPartition(topic, number) for number in range(count)]
        committed = await self._committed(group, parts)
        return _behind(await self._extents(parts), committed)

    async def topics(self, names: Collection[str] | None) -> Sequence[TopicInfo]:
        """Topics of these names, or all that are not Kafka's own, with the groups that are named after each."""
        metadata = await asyncio.to_thread(self._metadata)
        groups = await self._result(
            self.client.list_consumer_groups(request_timeout=_TIMEOUT_S), "list groups"
        )
        ids = sorted(group.group_id for group in groups.valid)
        wanted = {
            topic: [TopicPartition(topic, number) for number in range(metadata[topic])]
            for topic in sorted(metadata)
            if (not topic.startswith("__") if names is None else topic in names)
        }
        # One request for each broker, not two for each topic: clusters have thousands.
        extents = await self._extents([part for parts in wanted.values() for part in parts])
        found = []
        for topic, parts in wanted.items():
            mine = {part: extents[part] for part in parts if part in extents}
            lags = {
                name[len(topic) + 1 :]: _behind(mine, await self._committed(name, parts))
                for name in ids
                # A group has no dot: with one, it is that of a topic whose name begins like this one.
                if name.rpartition(".")[0] == topic
            }
            held = sum(end - start for start, end in mine.values())
            found.append(TopicInfo(topic, len(parts), held, lags))
        return found

    async def configuration(self, topics: Collection[str] | None) -> Configuration:
        """Settings of brokers and topics."""
        cluster = await self._result(
            self.client.describe_cluster(request_timeout=_TIMEOUT_S), "reach the brokers"
        )
        metadata = await asyncio.to_thread(self._metadata)
        names = topics or [name for name in metadata if not name.startswith("__")]
        for name in names:
            if name not in metadata:
                raise NotFound(f"topic {name!r} does not exist")
        asked = self.client.describe_topics(
            TopicCollection(list(names)), request_timeout=_TIMEOUT_S
        )
        found = {}
        for name in sorted(names):
            described = await self._result(asked[name], f"describe topic {name!r}")
            replicas = min((len(part.replicas) for part in described.partitions), default=1)
            found[name] = (await self._settings_of(ResourceType.TOPIC, name), replicas)
        brokers = {
            str(node.id): await self._settings_of(ResourceType.BROKER, str(node.id))
            for node in cluster.nodes
        }
        return Configuration(str(self._settings.client["bootstrap.servers"]), brokers, found)

    async def _settings_of(self, kind: ResourceType, name: str) -> Mapping[str, str]:
        resource = ConfigResource(kind, name)
        asked = self.client.describe_configs([resource], request_timeout=_TIMEOUT_S)
        entries = await self._result(asked[resource], f"read the settings of {name!r}")
        return {key: entry.value for key, entry in entries.items() if entry.value is not None}

    async def modern_groups(self) -> bool:
        """Whether the brokers speak the consumer group protocol of KIP-848."""
        try:
            cluster = await self._result(
                self.client.describe_cluster(request_timeout=_TIMEOUT_S), "reach the brokers"
            )
            settings = await self._settings_of(ResourceType.BROKER, str(cluster.nodes[0].id))
        except BrokerError as error:
            # Reading a broker's settings is a right of its own; the classic protocol works everywhere.
            _log.debug("using the classic group protocol: %s", error)
            return False
        return "consumer" in settings.get("group.coordinator.rebalance.protocols", "")

    async def _uncommitted(self, group: str, parts: Sequence[TopicPartition]) -> list[int]:
        committed = await self._committed(group, parts)
        return [part.partition for part in parts if part.partition not in committed]

    async def _committed(self, group: str, parts: Sequence[TopicPartition]) -> Mapping[int, int]:
        """Partition → committed offset, where there is one."""
        try:
            return await self._offsets.committed(group, parts, _TIMEOUT_S)
        except NotFound:
            return {}

    async def _extents(
        self, parts: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """Partition → its first offset and the one after its last; without those that were deleted meanwhile."""
        asked = [
            self.client.list_offsets(dict.fromkeys(parts, spec), request_timeout=_TIMEOUT_S)
            for spec in (_EARLIEST, _LATEST)
        ]
        found = {}
        for part in parts:
            with suppress(NotFound):
                first, last = [await self._result(each[part], "read offsets") for each in asked]
                found[part] = (first.offset, last.offset)
        return found

    async def _ends(self, parts: Sequence[TopicPartition], spec: OffsetSpec) -> Mapping[int, int]:
        futures = self.client.list_offsets(dict.fromkeys(parts, spec), request_timeout=_TIMEOUT_S)
        return {
            part.partition: (await self._result(future, "read offsets")).offset
            for part, future in futures.items()
        }

    def _metadata(self) -> dict[str, int]:
        try:
            found = self.client.list_topics(timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise translate(error, "list topics") from error
        return {name: len(topic.partitions) for name, topic in found.topics.items()}

    async def _result(self, future: concurrent.futures.Future[Any], doing: str) -> Any:
        answer = asyncio.wrap_future(future)
        self._denied = None  # what was refused earlier may have been granted since
        while True:
            # Refused credentials come by the error callback alone, which polling serves; the answer would be a timeout.
            done, _ = await asyncio.wait((answer,), timeout=_LOOK_EVERY_S)
            self.client.poll(0)
            if done:
                break
            if (denied := self._refusal(doing)) is not None:
                answer.cancel()
                raise denied
        try:
            return answer.result()
        except KafkaException as error:
            raise self._refusal(doing) or translate(error, doing) from error

    def _refusal(self, doing: str) -> Denied | None:
        return None if self._denied is None else Denied(f"cannot {doing}: {self._denied.str()}")


def _behind(extents: Mapping[TopicPartition, tuple[int, int]], committed: Mapping[int, int]) -> int:
    """Messages after what is committed; what was deleted is nobody's to read."""
    return sum(
        max(0, end - max(committed.get(part.partition, 0), start))
        for part, (start, end) in extents.items()
    )


def _code(error: BrokerError) -> int | None:
    cause = error.__cause__
    detail = cause.args[0] if isinstance(cause, KafkaException) and cause.args else None
    return detail.code() if isinstance(detail, KafkaError) else None
