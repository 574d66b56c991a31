"""`settled` on Kafka tells the truth in the middle of a rebalance, when the brokers refuse every commit."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from hemline_broker import AckLost
from hemline_broker.testing import Harness, numbered

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


class _Rebalancing:
    """A consumer whose commits are refused so many times."""

    def __init__(self, consumer: Any, times: int) -> None:
        self._consumer = consumer
        self._times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def commit(self, **how: Any) -> Any:
        if self._times:
            self._times -= 1
            raise KafkaException(KafkaError(KafkaError.REBALANCE_IN_PROGRESS))
        return self._consumer.commit(**how)


@pytest.fixture
def harness(kafka_url: str) -> Harness:
    return Harness(kafka_url, patience=90.0)


async def test_settled_waits_for_the_rebalance_to_end(harness: Harness) -> None:
    async with (
        harness.topic("group") as (broker, topic),
        broker.subscribe(topic, group="group") as subscription,
    ):
        await broker.send_many(topic, numbered(5))
        taken = await harness.take(subscription, 5)
        source: Any = subscription.joined()
        source.consumer = _Rebalancing(source.consumer, times=5)
        for delivery in taken:
            delivery.ack()
        await subscription.settled()
        assert await subscription.lag() == 0


async def test_acks_that_a_rebalance_took_away_are_lost(harness: Harness) -> None:
    async with (
        harness.topic("group") as (broker, topic),
        broker.subscribe(topic, group="group") as subscription,
    ):
        await broker.send_many(topic, numbered(5))
        taken = await harness.take(subscription, 5)
        source: Any = subscription.joined()
        source.consumer = _Rebalancing(source.consumer, times=1_000_000)
        for delivery in taken[:3]:
            delivery.ack()

        def lose() -> None:
            source._collect()
            source._on_lost(source.consumer, [TopicPartition(topic, 0)])

        await source._call(lose)
        with pytest.raises(AckLost) as caught:
            await subscription.settled()
        assert caught.value.ids == tuple(each.position for each in taken[:3])
        await subscription.settled()
