"""Many behaviours at once, which must not disturb each other."""

from __future__ import annotations

import asyncio

from hemline_broker.testing._behaviour import named
from hemline_broker.testing._failing import Failing
from hemline_broker.testing._harness import Harness
from hemline_broker.testing._receiving import Receiving
from hemline_broker.testing._sending import Sending

_COPIES = 4


class Stressing:
    """Mix into a test class that has a fixture `harness`."""

    @named("Watermill TestPubSubStressTest")
    async def test_side_by_side(self, harness: Harness) -> None:
        """Twenty behaviours run at once, each with connections and topics of its own, as if they were alone."""
        sending, receiving, failing = Sending(), Receiving(), Failing()
        async with asyncio.TaskGroup() as tasks:
            for test in (
                sending.test_send_and_receive,
                sending.test_batches_of_sends,
                receiving.test_groups_are_independent,
                receiving.test_many_closes,
                failing.test_run_acks_and_retries,
            ):
                for _ in range(_COPIES):
                    tasks.create_task(test(harness))
