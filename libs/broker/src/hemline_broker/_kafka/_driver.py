"""The Kafka driver."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from hemline_broker._delivery import Delivery
from hemline_broker._driver import (
    Capability,
    Configuration,
    Sink,
    Source,
    Start,
    TopicInfo,
)
from hemline_broker._errors import BrokerError, NotFound, TransactionAborted, Unavailable
from hemline_broker._kafka._admin import KafkaAdmin
from hemline_broker._kafka._bulk import BulkProducer
from hemline_broker._kafka._producer import KafkaProducer, producer_settings, transaction_settings
from hemline_broker._kafka._settings import Settings, check_files
from hemline_broker._kafka._source import KafkaSource
from hemline_broker._kafka._transactions import Transactor
from hemline_broker._message import Message, Receipt, Receipts
from hemline_broker._url import BrokerURL

_MANY = 16


class KafkaDriver:
    """See `hemline_broker._driver.Driver`."""

    capabilities = frozenset(
        {
            Capability.PERSISTENT,
            Capability.SHARED,
            Capability.OLDEST,
            Capability.KEY_AFFINITY,
            Capability.ORDERED,
            Capability.LAG,
            Capability.PARTITIONS,
            Capability.TRANSACTIONS,
        }
    )

    def __init__(self, settings: Settings, max_message_bytes: int) -> None:
        self.max_message_bytes = max_message_bytes
        self._settings = settings
        self._admin = KafkaAdmin(settings, max_message_bytes)
        # A lone message must not wait for company, many gain from it, and librdkafka knows one delay per producer.
        self._quick = KafkaProducer(settings, max_message_bytes, linger_ms=0)
        self._bulk: BulkProducer | None = None
        self._transactors: dict[str, Transactor] = {}
        self._known: set[str] = set()
        self._modern: bool | None = None

    async def start(self) -> None:
        """Reach the brokers."""
        await self._admin.ping()

    async def ensure(
        self, topic: str, group: str | None, partitions: int, start: Start, ordered: bool
    ) -> None:
        """Make the topic; commit the group's start."""
        await self._admin.ensure_topic(topic, partitions)
        self._known.add(topic)
        if group is not None:
            await self._admin.ensure_group(topic, group_id(topic, group), start)

    async def send(
        self, topic: str, messages: Sequence[Message], timeout: float
    ) -> Sequence[Receipt | BrokerError]:
        """Produce; a producer would make a missing topic on the side, so look first."""
        try:
            async with asyncio.timeout(timeout):
                await self._must_exist(topic)
                results = await self._producer_for(len(messages)).send(topic, messages)
        except TimeoutError:
            raise Unavailable(
                f"{len(messages)} message(s) to {topic!r} not confirmed within {timeout:g} s; they may still arrive"
            ) from None
        if not isinstance(results, Receipts) and any(isinstance(r, NotFound) for r in results):
            self._known.discard(topic)
        return results

    async def limit(self, topic: str) -> int | None:
        """What the topic's `max.message.bytes` says."""
        return await self._admin.limit(topic)

    async def subscribe(
        self, topic: str, group: str, start: Start, sink: Sink, limits: tuple[int, int]
    ) -> Source:
        """Commit the start if need be, and join."""
        await self._must_exist(topic)
        await self._admin.ensure_group(topic, group_id(topic, group), start)
        source = KafkaSource(
            self._settings,
            self._admin,
            topic,
            group_id(topic, group),
            sink,
            modern=await self._use_modern(),
            max_message_bytes=self.max_message_bytes,
        )
        await source.start()
        return source

    async def transact(
        self,
        outputs: Mapping[str, Sequence[Message]],
        source: Source | None,
        deliveries: Sequence[Delivery],
        timeout: float,
    ) -> None:
        """One transactional producer for each group that takes part."""
        try:
            for topic in outputs:
                await self._must_exist(topic)
        except Unavailable as error:
            raise TransactionAborted(str(error)) from error
        mine = source if isinstance(source, KafkaSource) else None
        name = mine.group if mine is not None else "-"
        if name not in self._transactors:
            self._transactors[name] = Transactor(
                transaction_settings(self._settings, self.max_message_bytes),
                f"{self._settings.transactional_id}.{name}",
            )
        await self._transactors[name].transact(outputs, mine, deliveries, timeout)

    async def forget(self, topic: str, group: str) -> None:
        """Delete the consumer group."""
        await self._admin.forget(group_id(topic, group))

    async def exists(self, topic: str) -> bool:
        """Ask the brokers."""
        return bool(await self._admin.partitions(topic))

    async def topics(self, names: Collection[str] | None = None) -> Sequence[TopicInfo]:
        """Everything but Kafka's own, or those of these names."""
        return await self._admin.topics(names)

    async def settings(self, topics: Collection[str] | None) -> Configuration:
        """Read what the operator has set."""
        return await self._admin.configuration(topics)

    async def ping(self) -> None:
        """Ask for the cluster's nodes."""
        await self._admin.ping()

    def native(self, kind: type[Any]) -> Any:
        """The `Producer` or the `AdminClient`."""
        for candidate in (self._quick.producer, self._admin.client):
            if isinstance(candidate, kind):
                return candidate
        raise TypeError(
            f"the Kafka driver has {Producer.__name__} and {AdminClient.__name__}, not {kind.__name__}"
        )

    async def close(self) -> None:
        """Flush."""
        await self._quick.close()
        if self._bulk is not None:
            await self._bulk.close()
        for transactor in self._transactors.values():
            await transactor.close()
        await self._admin.close()

    def _producer_for(self, count: int) -> KafkaProducer | BulkProducer:
        if count < _MANY:
            return self._quick
        if self._bulk is None:
            self._bulk = BulkProducer(
                producer_settings(self._settings, self.max_message_bytes, self._settings.linger_ms)
            )
        return self._bulk

    async def _must_exist(self, topic: str) -> None:
        if topic not in self._known:
            if not await self.exists(topic):
                raise NotFound(f"topic {topic!r} does not exist; call ensure({topic!r}) first")
            self._known.add(topic)

    async def _use_modern(self) -> bool:
        if self._modern is None:
            wanted = self._settings.group_protocol
            self._modern = (
                await self._admin.modern_groups() if wanted == "auto" else wanted == "consumer"
            )
        return self._modern


def group_id(topic: str, group: str) -> str:
    """Kafka's group id: groups of one name on two topics must not mix."""
    return f"{topic}.{group}"


async def open_driver(url: BrokerURL, max_message_bytes: int) -> KafkaDriver:
    """A driver for a `kafka:` URL."""
    settings = Settings.parse(url)
    check_files(settings)
    driver = KafkaDriver(settings, max_message_bytes)
    try:
        await driver.start()
    except BaseException:
        await driver.close()
        raise
    return driver
