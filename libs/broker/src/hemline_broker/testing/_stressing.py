"""Many behaviours at once, which must not disturb each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields

from hemline_broker import Broker
from hemline_broker.testing._behaviour import named
from hemline_broker.testing._failing import Failing
from hemline_broker.testing._harness import Harness
from hemline_broker.testing._receiving import Receiving
from hemline_broker.testing._sending import Sending

_COPIES = 4


class _Together(Harness):
    """A harness whose topics are only used when so many of them are there, each with a connection of its own."""

    _gate: asyncio.Barrier

    def __init__(self, harness: Harness, gate: asyncio.Barrier) -> None:
        super().__init__(*(getattr(harness, field.name) for field in fields(Harness)))
        object.__setattr__(self, "_gate", gate)

    @asynccontextmanager
    async def topic(
        self, *groups: str, partitions: int = 1, ordered: bool = False, **options: object
    ) -> AsyncIterator[tuple[Broker, str]]:
        made = super().topic(*groups, partitions=partitions, ordered=ordered, **options)
        async with made as (broker, topic):
            async with asyncio.timeout(self.patience):
                await self._gate.wait()
            yield broker, topic


class Stressing:
    """Mix into a test class that has a fixture `harness`."""

    @named("Watermill TestPubSubStressTest")
    async def test_side_by_side(self, harness: Harness) -> None:
        """Five behaviours run four times each, all at once, on a connection and a topic each: every one holds."""
        sending, receiving, failing = Sending(), Receiving(), Failing()
        tests = (
            sending.test_send_and_receive,
            sending.test_batches_of_sends,
            receiving.test_groups_are_independent,
            receiving.test_many_closes,
            failing.test_run_acks_and_retries,
        )
        gate = asyncio.Barrier(_COPIES * len(tests))
        async with asyncio.TaskGroup() as tasks:
            for test in tests:
                for _ in range(_COPIES):
                    tasks.create_task(test(_Together(harness, gate)))
