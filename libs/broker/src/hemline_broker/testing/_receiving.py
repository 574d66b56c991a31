# ruff: noqa: S101 - a conformance suite asserts
"""Behaviours of receiving."""

from __future__ import annotations

import asyncio

import pytest

from hemline_broker import Capability, Closed, Delivery, Message, NotFound, Retry
from hemline_broker.testing._behaviour import named, needs
from hemline_broker.testing._harness import Harness, bodies, numbered


class Receiving:
    """Mix into a test class that has a fixture `harness`."""

    @named("go-cloud TestSendReceiveTwo", "Watermill TestConsumerGroups", "Dapr Kafka second group")
    async def test_groups_are_independent(self, harness: Harness) -> None:
        """Each group gets everything."""
        async with harness.topic("one", "two") as (broker, topic):
            await broker.send_many(topic, numbered(50))
            for group in ("one", "two"):
                async with broker.subscribe(topic, group=group) as subscription:
                    taken = await harness.take(subscription, 50)
                    assert len(set(bodies(taken))) == 50

    @named("Watermill TestConcurrentSubscribe", "Dapr Kafka consumers share a group")
    async def test_consumers_of_a_group_share(self, harness: Harness) -> None:
        """A message goes to one consumer of the group, and many of them get all together."""
        consumers, in_flight = 8, 16
        async with harness.topic("group", partitions=4) as (broker, topic):
            seen: list[list[Delivery]] = [[] for _ in range(consumers)]

            async def consume(mine: list[Delivery]) -> None:
                async with broker.subscribe(
                    topic, group="group", in_flight=in_flight
                ) as subscription:
                    async for delivery in subscription:
                        mine.append(delivery)
                        delivery.ack()
                        await asyncio.sleep(0.001)

            def ids() -> set[str]:
                return {delivery.message.id for mine in seen for delivery in mine}

            sent: set[str] = set()
            tasks = [asyncio.create_task(consume(mine)) for mine in seen]
            try:
                async with asyncio.timeout(harness.patience):
                    # Some join later than others: until two have got something, nothing is shared.
                    while len(sent) < 1000 or sum(map(bool, seen)) < 2:
                        messages = [Message(b"x", key=str(len(sent) + n)) for n in range(100)]
                        await broker.send_many(topic, messages)
                        sent.update(message.id for message in messages)
                        await asyncio.sleep(0.02)
                await harness.until(lambda: len(ids()) == len(sent))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert ids() == sent
            # Again comes at most what consumers held when others joined.
            assert sum(map(len, seen)) - len(sent) <= consumers * in_flight

    @named("Watermill TestTopic", "Dapr multiple handlers", "Dapr GCP not-subscribed topic")
    async def test_topics_do_not_mix(self, harness: Harness) -> None:
        """A group sees the messages of its topic alone."""
        async with (
            harness.topic("group") as (broker, first),
            harness.topic("group") as (_, second),
        ):
            await broker.send(first, Message(b"first"))
            await broker.send(second, Message(b"second"))
            for topic, wanted in ((first, b"first"), (second, b"second")):
                async with broker.subscribe(topic, group="group") as subscription:
                    delivery = await harness.one(subscription)
                    assert delivery.message.data == wanted
                    delivery.ack()
                    await harness.nothing(subscription)

    @named("go-cloud TestNonExistentSubscriptionSucceedsOnOpenButFailsOnReceive", "C12")
    async def test_unknown_subscription(self, harness: Harness) -> None:
        """Making a subscription works, entering it says NotFound."""
        async with harness.connect() as broker:
            subscription = broker.subscribe("no-such-topic", group="group")
            with pytest.raises(NotFound):
                async with subscription:
                    pass

    @named("Watermill TestNewSubscriberReceivesOldMessages")
    @needs(Capability.OLDEST)
    async def test_old_messages(self, harness: Harness) -> None:
        """A new group begins where it is told to."""
        async with harness.topic() as (broker, topic):
            await broker.send(topic, Message(b"old"))
            await broker.ensure(topic, "late", start="new")
            await broker.send(topic, Message(b"new"))
            async with broker.subscribe(topic, group="oldest", start="oldest") as subscription:
                assert sorted(bodies(await harness.take(subscription, 2))) == [b"new", b"old"]
            async with broker.subscribe(topic, group="late") as subscription:
                assert bodies(await harness.take(subscription, 1)) == [b"new"]
                await harness.nothing(subscription)

    async def test_between_ensure_and_first_poll(self, harness: Harness) -> None:
        """A message sent between `ensure` and the first consumer is not missed."""
        async with harness.topic("group") as (broker, topic):
            await broker.send(topic, Message(b"early"))
            async with broker.subscribe(topic, group="group", start="new") as subscription:
                assert (await harness.one(subscription)).message.data == b"early"

    @named("Watermill TestNoAck")
    async def test_acked_is_gone(self, harness: Harness) -> None:
        """After an ack nothing comes again; without one everything does."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(4))
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 4)
                for delivery in sorted(taken, key=lambda d: d.message.data)[:2]:
                    delivery.ack()
                await subscription.settled()
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 2)
                assert sorted(bodies(taken)) == [b"2", b"3"]
                for delivery in taken:
                    delivery.ack()
                await subscription.settled()
                await harness.nothing(subscription)
                assert await subscription.lag() == 0

    @named("go-cloud TestDoubleAck")
    async def test_double_ack(self, harness: Harness) -> None:
        """A second ack and a nack after an ack do nothing; the others are unharmed."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(3))
            async with broker.subscribe(topic, group="group") as subscription:
                first, second, third = await harness.take(subscription, 3)
                first.ack()
                first.ack()
                second.ack()
                second.nack()
                second.reject("too late")
                third.nack()
                again = await harness.one(subscription)
                assert again.message.id == third.message.id
                third.ack()  # the old handle is spent
                again.ack()
                await subscription.settled()
                await harness.nothing(subscription)

    async def test_no_more_than_in_flight(self, harness: Harness) -> None:
        """Back-pressure by count: what is not acknowledged bounds what comes."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(20))
            async with broker.subscribe(topic, group="group", in_flight=5) as subscription:
                taken = await harness.take(subscription, 5)
                await harness.nothing(subscription)
                for delivery in taken:
                    delivery.ack()
                assert len(await harness.take(subscription, 5)) == 5

    @named("C6")
    async def test_no_more_than_bytes(self, harness: Harness) -> None:
        """Back-pressure by bytes, give or take one message: what is not acknowledged bounds what comes."""
        size = 1_000_000
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, [Message(bytes(size)) for _ in range(12)])
            async with broker.subscribe(
                topic, group="group", in_flight_bytes=3 * size
            ) as subscription:
                held = await harness.take(subscription, 3)
                held += await harness.rest(subscription)
                assert len(held) <= 4
                seen = len(held)
                while seen < 12:
                    # Room for one makes one come, and no more.
                    held.pop(0).ack()
                    more = [await harness.one(subscription)]
                    if seen in (6, 9):
                        more += await harness.rest(subscription)
                    held += more
                    seen += len(more)
                    assert len(held) <= 4
                for delivery in held:
                    delivery.ack()
                await subscription.settled()
                await harness.nothing(subscription)

    async def test_one_large_message_fits_any_bound(self, harness: Harness) -> None:
        """A message above the bound in bytes comes alone instead of never."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, [Message(bytes(100_000)) for _ in range(3)])
            async with broker.subscribe(topic, group="group", in_flight_bytes=1000) as subscription:
                first = await harness.one(subscription)
                await harness.nothing(subscription)
                first.ack()
                for _ in range(2):
                    (await harness.one(subscription)).ack()

    async def test_batches(self, harness: Harness) -> None:
        """Batches hold what waits, at most `max_size` and `max_bytes`, in the order of their key."""
        async with harness.topic("group", ordered=True) as (broker, topic):
            await broker.send_many(topic, [Message(b"%4d" % n, key="key") for n in range(100)])
            sizes = []
            async with broker.subscribe(topic, group="group") as subscription:
                seen: list[bytes] = []
                async with asyncio.timeout(harness.patience):
                    async for batch in subscription.batches(16, max_bytes=40):
                        assert 1 <= len(batch) <= 10
                        assert batch[0] is next(iter(batch))
                        sizes.append(len(batch))
                        seen += bodies(list(batch))
                        batch.ack()
                        if len(seen) == 100:
                            break
                await subscription.settled()
                assert await subscription.lag() == 0
            assert seen == [b"%4d" % n for n in range(100)]
            assert max(sizes) > 1

    @named("Dapr bulkSubscribe")
    async def test_batch_in_parts(self, harness: Harness) -> None:
        """Each message of a batch can have an end of its own; what is left is acknowledged with the batch."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(10))
            again: list[tuple[bytes, int]] = []
            done = 0
            async with broker.subscribe(topic, group="group") as subscription:
                async with asyncio.timeout(harness.patience):
                    async for batch in subscription.batches(5, wait=0.5):
                        assert len(batch) <= 5
                        for delivery in batch:
                            if delivery.attempt > 1:
                                again.append((delivery.message.data, delivery.attempt))
                            elif int(delivery.message.data) % 4 == 1:
                                delivery.nack()
                                done -= 1
                        batch.ack()
                        done += len(batch)
                        if done == 10:
                            break
                await subscription.settled()
                await harness.nothing(subscription)
            assert sorted(again) == [(b"1", 2), (b"5", 2), (b"9", 2)]

    async def test_batches_wait_to_fill(self, harness: Harness) -> None:
        """With `wait`, a batch fills up after its first message."""
        async with (
            harness.topic("group") as (broker, topic),
            broker.subscribe(topic, group="group") as subscription,
        ):
            await broker.send(topic, Message(b"0"))
            sender = asyncio.create_task(broker.send_many(topic, numbered(9, 1)))
            async with asyncio.timeout(harness.patience):
                async for batch in subscription.batches(10, wait=harness.patience):
                    assert len(batch) == 10
                    break
            await sender

    @needs(Capability.LAG)
    async def test_lag(self, harness: Harness) -> None:
        """Lag counts what is not acknowledged, in flight included."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(10))
            async with broker.subscribe(topic, group="group") as subscription:
                assert await subscription.lag() == 10
                taken = await harness.take(subscription, 10)
                assert await subscription.lag() == 10
                for delivery in sorted(taken, key=lambda d: int(d.message.data))[:7]:
                    delivery.ack()
                await subscription.settled()
                assert await subscription.lag() == 3
            (info,) = [each for each in await broker.topics() if each.name == topic]
            assert info.groups == {"group": 3}

    @named("go-cloud TestErrorOnReceiveFromClosedSubscription")
    async def test_closed_subscription(self, harness: Harness) -> None:
        """Iteration ends with the close; closing again does nothing."""
        async with harness.topic("group") as (broker, topic):
            async with broker.subscribe(topic, group="group") as subscription:
                ended = asyncio.create_task(_count(subscription))
                await asyncio.sleep(0)
                await subscription.close()
                await subscription.close()
                assert await asyncio.wait_for(ended, harness.patience) == 0
                assert await _count(subscription) == 0
            with pytest.raises(Closed):
                async with subscription:
                    pass

    @named("go-cloud TestCancelSendReceive", "Watermill TestSubscribeCtx")
    async def test_cancelled_iteration(self, harness: Harness) -> None:
        """A cancelled wait loses nothing."""
        async with (
            harness.topic("group") as (broker, topic),
            broker.subscribe(topic, group="group") as subscription,
        ):
            task = asyncio.create_task(harness.one(subscription))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await broker.send(topic, Message(b"x"))
            assert (await harness.one(subscription)).message.data == b"x"

    @named("C10")
    async def test_close_drains(self, harness: Harness) -> None:
        """Close waits for what is in hand, within its deadline; the rest comes back."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(10))
            async with broker.subscribe(topic, group="group") as subscription:
                taken = await harness.take(subscription, 10)
                loop = asyncio.get_running_loop()
                for delivery in taken[:6]:
                    loop.call_later(0.2, delivery.ack)
                await subscription.close(drain=1.0)
            async with broker.subscribe(topic, group="group") as subscription:
                again = await harness.take(subscription, 4)
                assert sorted(bodies(again)) == sorted(bodies(taken[6:]))
                await harness.nothing(subscription)

    @named("Watermill TestContinueAfterSubscribeClose")
    async def test_many_closes(self, harness: Harness) -> None:
        """Over many openings nothing is lost, acked work is not repeated."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(300))
            done: list[bytes] = []
            while len(done) < 300:
                async with broker.subscribe(topic, group="group", in_flight=100) as subscription:
                    for delivery in await harness.take(subscription, min(90, 300 - len(done))):
                        delivery.ack()
                        done.append(delivery.message.data)
            assert sorted(map(int, done)) == list(range(300))

    @named("Dapr stop subscribers")
    async def test_stopped_subscriber(self, harness: Harness) -> None:
        """One subscription ends and gets nothing more; the others of the same connection go on."""
        async with (
            harness.topic("group") as (broker, first),
            harness.topic("group") as (_, second),
        ):
            seen: dict[str, list[bytes]] = {first: [], second: []}

            async def handle(delivery: Delivery) -> None:
                seen[delivery.topic].append(delivery.message.data)

            async with (
                broker.subscribe(first, group="group") as stopped,
                broker.subscribe(second, group="group") as going,
            ):
                runners = [asyncio.create_task(each.run(handle)) for each in (stopped, going)]
                for topic in (first, second):
                    await broker.send(topic, Message(b"before"))
                await harness.until(lambda: all(seen.values()))
                await stopped.close()
                await runners[0]
                for topic in (first, second):
                    await broker.send(topic, Message(b"after"))
                await harness.until(lambda: b"after" in seen[second])
                await going.close()
                await runners[1]
            assert seen[first] == [b"before"]
            assert set(seen[second]) == {b"before", b"after"}
            async with broker.subscribe(first, group="group") as subscription:
                assert (await harness.one(subscription)).message.data == b"after"

    @named("Watermill TestConcurrentClose")
    async def test_closes_side_by_side(self, harness: Harness) -> None:
        """Parallel opening and closing leaves the group working."""
        async with harness.topic("group") as (broker, topic):

            async def open_and_close() -> None:
                async with broker.subscribe(topic, group="group"):
                    pass

            async with asyncio.timeout(3 * harness.patience):
                await asyncio.gather(*(open_and_close() for _ in range(5)))
            await broker.send_many(topic, numbered(50))
            async with broker.subscribe(topic, group="group") as subscription:
                assert len(set(bodies(await harness.take(subscription, 50)))) == 50

    @named("C2")
    async def test_slow_head(self, harness: Harness) -> None:
        """Acks behind an unfinished message leave it unfinished: it comes again, and without partitions it alone."""
        async with harness.topic("group") as (broker, topic):
            await broker.send_many(topic, numbered(50))
            async with broker.subscribe(topic, group="group") as subscription:
                taken = sorted(
                    await harness.take(subscription, 50), key=lambda d: int(d.message.data)
                )
                for delivery in taken[1:]:
                    delivery.ack()
                await subscription.settled()
            async with broker.subscribe(topic, group="group") as subscription:
                again = await harness.one(subscription)
                assert again.message.data == b"0"
                assert again.message.id == taken[0].message.id
                again.ack()
                # Where a partition has one position, what was acknowledged behind it comes again as well.
                for delivery in (rest := await harness.rest(subscription)):
                    delivery.ack()
                assert Capability.PARTITIONS in broker.capabilities or not rest
                await subscription.settled()
            async with broker.subscribe(topic, group="group") as subscription:
                await harness.nothing(subscription)

    async def test_forget(self, harness: Harness) -> None:
        """A forgotten group is gone and begins anew; forgetting what is not there does nothing."""
        async with harness.topic("group", "other") as (broker, topic):
            await broker.send(topic, Message(b"x"))
            await broker.forget(topic, "group")
            await broker.forget(topic, "group")
            await broker.forget("no-such-topic", "group")
            await broker.ensure(topic, "group", start="new")
            async with broker.subscribe(topic, group="group") as subscription:
                await harness.nothing(subscription)
            async with broker.subscribe(topic, group="other") as subscription:
                assert (await harness.one(subscription)).message.data == b"x"

    async def test_late_ack_after_close(self, harness: Harness) -> None:
        """An ack after the close does nothing: the message comes again."""
        async with harness.topic("group") as (broker, topic):
            await broker.send(topic, Message(b"x"))
            async with broker.subscribe(topic, group="group") as subscription:
                delivery = await harness.one(subscription)
            delivery.ack()
            async with broker.subscribe(
                topic, group="group", retry=Retry(attempts=1)
            ) as subscription:
                assert (await harness.one(subscription)).message.id == delivery.message.id


async def _count(subscription: object) -> int:
    return len([each async for each in subscription])  # type: ignore[attr-defined]
