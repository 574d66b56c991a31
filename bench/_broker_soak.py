"""Ten minutes of broker restarts every 30 s and consumers killed every few seconds: sent = handled, repeats counted."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

from hemline_broker import BrokerError, Message, connect

CONSUMERS = 3


def soak(servers: str, script: Path, port: int, seconds: float) -> None:
    asyncio.run(_soak(f"kafka://{servers}", script, port, seconds))


async def _soak(url: str, script: Path, port: int, seconds: float) -> None:
    topic = f"soak-{uuid.uuid4().hex[:8]}"
    handled: Counter[str] = Counter()
    sent: set[str] = set()
    restarts = kills = 0
    ending = asyncio.Event()
    async with connect(url) as broker:
        await broker.ensure(topic, "group", partitions=4)

        async def send() -> None:
            while not ending.is_set():
                batch = [Message(b"x" * 500, key=str(n)) for n in range(20)]
                waiting = batch
                while waiting:
                    try:
                        await broker.send_many(topic, waiting, timeout=60)
                        waiting = []
                    except BrokerError as error:
                        failed = getattr(error, "errors", None)
                        waiting = [waiting[n] for n in failed] if failed is not None else waiting
                sent.update(message.id for message in batch)
                await asyncio.sleep(0.05)

        async def consume() -> None:
            nonlocal kills
            while True:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, __file__, url, topic, stdout=subprocess.PIPE
                )
                if process.stdout is None:
                    raise RuntimeError("no pipe")
                killer = None
                if not ending.is_set():
                    killer = asyncio.get_running_loop().call_later(
                        random.uniform(10, 25), process.kill
                    )
                try:
                    while line := await process.stdout.readline():
                        handled[line.decode().strip()] += 1
                finally:
                    if killer is not None:
                        killer.cancel()
                    if process.returncode is None:
                        process.kill()
                    await process.wait()
                kills += 1

        async def restart() -> None:
            nonlocal restarts
            while not ending.is_set():
                await asyncio.sleep(30)
                command = [str(script), "restart", "--port", str(port)]
                if restarts % 2:
                    command.append("--kill")
                await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
                restarts += 1

        tasks = [asyncio.create_task(consume()) for _ in range(CONSUMERS)]
        sender, restarter = asyncio.create_task(send()), asyncio.create_task(restart())
        await asyncio.sleep(seconds)
        ending.set()
        await asyncio.gather(sender, restarter)
        deadline = time.monotonic() + 180
        while sent - handled.keys() and time.monotonic() < deadline:  # noqa: ASYNC110 - two conditions
            await asyncio.sleep(0.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    lost = len(sent - handled.keys())
    repeats = sum(handled.values()) - len(handled)
    print(
        f"soak: {seconds:g} s, {restarts} restarts of the broker, {kills} consumers killed: "
        f"{len(sent):,} sent, {len(sent) - lost:,} handled, {lost} lost, {repeats:,} repeats"
    )
    if lost:
        raise SystemExit(1)


async def _consume(url: str, topic: str) -> None:
    async with connect(url) as broker, broker.subscribe(topic, group="group") as subscription:
        async for batch in subscription.batches(50):
            for delivery in batch:
                print(delivery.message.id, flush=False)
            sys.stdout.flush()
            batch.ack()


if __name__ == "__main__":
    asyncio.run(_consume(sys.argv[1], sys.argv[2]))
