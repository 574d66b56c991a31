"""Memory of a consumer of 15 MB messages with a slow handler; the consumer has a process of its own.

The handler takes 50 ms, and now and then stops until everything that may be held is held.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

from hemline_broker import Message, connect

SIZE = 15_000_000
IN_FLIGHT_BYTES = 256 << 20
HANDLER_S = 0.05
FULL_EVERY = 50  # messages
FULL_AFTER_S = 2.0
# Sent ahead of the consumer: enough to fill every bound. The topic keeps more than that, so nothing goes unread.
_AHEAD = 40
TOPIC = {"retention.bytes": str(1 << 30), "segment.bytes": str(128 << 20)}


async def peak(url: str, topic: str, count: int) -> float:
    """The most memory that the consumer's process ever had, in MB."""
    async with connect(url) as broker:
        await broker.ensure(topic, "reader")
        body = os.urandom(SIZE)
        room = asyncio.Semaphore(_AHEAD)
        for _ in range(min(_AHEAD, count)):
            await room.acquire()
            await broker.send(topic, Message(body), timeout=120)
        command = [sys.executable, __file__, url, topic, str(count)]
        consumer = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
        try:
            reading = asyncio.create_task(_read(consumer, room))
            for _ in range(count - _AHEAD):
                await room.acquire()
                if consumer.returncode is not None:
                    break
                await broker.send(topic, Message(body), timeout=120)
            found = await reading
            if await consumer.wait() or found is None:
                raise RuntimeError(f"the consumer ended with {consumer.returncode}")
            return found
        finally:
            if consumer.returncode is None:
                consumer.kill()
                await consumer.wait()


async def _read(consumer: asyncio.subprocess.Process, room: asyncio.Semaphore) -> float | None:
    """Make room for each message that the consumer has handled; its last line is its memory."""
    if consumer.stdout is None:
        raise RuntimeError("no pipe")
    found = None
    while line := await consumer.stdout.readline():
        if line == b"handled\n":
            room.release()
        else:
            found = float(line)
    await consumer.wait()
    room.release()  # or whoever waits for a consumer that has failed would wait for ever
    return found


async def _consume(url: str, topic: str, count: int) -> None:
    async with (
        connect(url) as broker,
        broker.subscribe(topic, group="reader", in_flight_bytes=IN_FLIGHT_BYTES) as subscription,
    ):
        seen = 0
        async for delivery in subscription:
            if len(delivery.message.data) != SIZE:
                raise RuntimeError(f"{len(delivery.message.data)} bytes came")
            if seen % FULL_EVERY == 0:
                await _full()
            await asyncio.sleep(HANDLER_S)
            delivery.ack()
            print("handled", flush=True)
            seen += 1
            if seen == count:
                break
    print(_peak_mb())


async def _full() -> None:
    """Handle nothing until the most memory ever has not grown for a while: every bound is met then.

    Where the machine is busy, messages come more slowly than a handler takes them, and nothing would fill.
    """
    known, since = _peak_mb(), time.monotonic()
    while time.monotonic() - since < FULL_AFTER_S:
        await asyncio.sleep(0.1)
        if (now := _peak_mb()) > known:
            known, since = now, time.monotonic()


def _peak_mb() -> float:
    # Not ru_maxrss: what the process that started this one had at that time counts there, too.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("this kernel does not tell the most memory that a process had")


if __name__ == "__main__":
    asyncio.run(_consume(sys.argv[1], sys.argv[2], int(sys.argv[3])))
