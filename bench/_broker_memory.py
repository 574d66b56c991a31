"""Memory of a consumer of 15 MB messages with a slow handler; the consumer has a process of its own."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import uuid

from hemline_broker import Message, connect

SIZE = 15_000_000
AHEAD = (
    30  # messages sent ahead of the consumer: enough to fill every bound, without filling the disk
)


def peak(url: str, count: int) -> float:
    """The most memory that the consumer's process ever had, in MB."""
    topic = f"bench-{uuid.uuid4().hex[:10]}"
    return asyncio.run(_peak(url, topic, count))


async def _peak(url: str, topic: str, count: int) -> float:
    async with connect(url) as broker:
        await broker.ensure(topic, "reader")
        body = os.urandom(SIZE)
        for _ in range(min(AHEAD, count)):
            await broker.send(topic, Message(body), timeout=120)
        consumer = await asyncio.create_subprocess_exec(
            sys.executable, __file__, url, topic, str(count), stdout=subprocess.PIPE
        )
        for _ in range(count - AHEAD):
            await broker.send(topic, Message(body), timeout=120)
        out, _ = await consumer.communicate()
        if consumer.returncode:
            raise RuntimeError("the consumer failed")
        return float(out)


async def _consume(url: str, topic: str, count: int) -> None:
    async with (
        connect(url) as broker,
        broker.subscribe(topic, group="reader", in_flight_bytes=256 << 20) as subscription,
    ):
        seen = 0
        async for delivery in subscription:
            if len(delivery.message.data) != SIZE:
                raise RuntimeError(f"{len(delivery.message.data)} bytes came")
            await asyncio.sleep(0.05)
            delivery.ack()
            seen += 1
            if seen == count:
                break
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


if __name__ == "__main__":
    asyncio.run(_consume(sys.argv[1], sys.argv[2], int(sys.argv[3])))
