"""A group's committed offsets, read and written without joining the group.

The administration client can do both, but when a group's coordinator is on the move (a broker restarts)
librdkafka 2.16's handlers of those answers use the consumer group of the client, which an administration client does
not have, and the process ends with SIGSEGV or SIGABRT. A consumer that never subscribes has one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

from hemline_broker._kafka._client_log import client_log
from hemline_broker._kafka._errors import making_a_client, translate
from hemline_broker._kafka._settings import Settings

_NO_OFFSET = -1001
_MOST_GROUPS = 16

T = TypeVar("T")


class GroupOffsets:
    """One unsubscribed consumer per group, all on one thread; the least recently used are closed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumers: OrderedDict[str, Consumer] = OrderedDict()
        self._thread = ThreadPoolExecutor(1, "group-offsets")

    async def committed(
        self, group: str, parts: Sequence[TopicPartition], timeout: float
    ) -> Mapping[int, int]:
        """Partition → committed offset, where there is one."""
        if not parts:
            return {}

        def ask(consumer: Consumer) -> Mapping[int, int]:
            found = consumer.committed(list(parts), timeout=timeout)
            for part in found:
                if part.error is not None:
                    raise KafkaException(part.error)
            return {part.partition: part.offset for part in found if part.offset != _NO_OFFSET}

        return await self._call(group, ask, f"read the offsets of group {group!r}")

    async def commit(self, group: str, offsets: Sequence[TopicPartition]) -> None:
        """Commit offsets for a group; the brokers refuse it when the group has members."""

        def write(consumer: Consumer) -> None:
            for part in consumer.commit(offsets=list(offsets), asynchronous=False) or ():
                if part.error is not None:
                    raise KafkaException(part.error)

        await self._call(group, write, f"commit the start of group {group!r}")

    async def forget(self, group: str) -> None:
        """Close the group's consumer, if there is one."""
        await asyncio.wrap_future(self._thread.submit(self._close, group))

    async def close(self) -> None:
        """Close every consumer and end the thread."""
        for group in list(self._consumers):
            await self.forget(group)
        self._thread.shutdown(wait=False)

    async def _call(self, group: str, function: Callable[[Consumer], T], doing: str) -> T:
        try:
            return await asyncio.wrap_future(
                self._thread.submit(lambda: function(self._consumer(group)))
            )
        except KafkaException as error:
            raise translate(error, doing) from error

    def _consumer(self, group: str) -> Consumer:
        consumer = self._consumers.pop(group, None)
        if consumer is None:
            configuration: dict[str, Any] = {
                **self._settings.client,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
            }
            with making_a_client():
                consumer = Consumer(configuration, logger=client_log())
        self._consumers[group] = consumer
        while len(self._consumers) > _MOST_GROUPS:
            self._close(next(iter(self._consumers)))
        return consumer

    def _close(self, group: str) -> None:
        consumer = self._consumers.pop(group, None)
        if consumer is not None:
            consumer.close()
