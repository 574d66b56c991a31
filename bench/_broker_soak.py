"""Restarts of the broker and killed consumers while messages flow: nothing lost, repeats only where they are allowed.

Two kinds of repeats are at-least-once's: a message that was handled but not yet settled when its consumer was killed or
lost its partition, and one that was sent again because the first attempt was not confirmed. A message that comes again
after `settled` has returned, or twice although every send of it was confirmed at once, is a fault.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from _broker_table import Report

from hemline_broker import (
    AckLost,
    BrokerError,
    Message,
    SendFailed,
    Subscription,
    Unavailable,
    connect,
)

CONSUMERS = 3
PARTITIONS = 4
RESTART_EVERY_S = 30.0
KILL_AFTER_S = (10.0, 40.0)
SETTLE_EVERY_S = 0.25
PROGRESS_EVERY_S = 15.0
LAST_ONES_S = 180.0
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class Handling:
    """One delivery to one consumer; seconds of the machine's monotonic clock, the same in all processes."""

    identity: str
    position: str
    at: float
    settled: float | None = None


@dataclass
class Books:
    """What happened, and what of it must not have.

    Attributes:
        sent: id → when its send was confirmed.
        resent: ids of messages that were sent more than once.
        handlings: every delivery that a consumer has reported.
    """

    sent: dict[str, float] = field(default_factory=dict)
    resent: set[str] = field(default_factory=set)
    handlings: list[Handling] = field(default_factory=list)
    handled: set[str] = field(default_factory=set)

    def handle(self, handling: Handling) -> None:
        self.handlings.append(handling)
        self.handled.add(handling.identity)

    def missing(self) -> set[str]:
        return self.sent.keys() - self.handled

    def faults(self) -> list[str]:
        """A line for each thing that at-least-once does not allow."""
        found = [f"lost: {identity}" for identity in sorted(self.missing())]
        found += [f"never sent: {identity}" for identity in sorted(self.handled - self.sent.keys())]
        places: dict[str, set[str]] = {}
        settled: dict[str, float] = {}
        for handling in sorted(self.handlings, key=lambda each: each.at):
            places.setdefault(handling.identity, set()).add(handling.position)
            done = settled.get(handling.position)
            if done is not None and handling.at > done:
                found.append(f"came {handling.at - done:.3f} s after it was settled: {handling}")
            if handling.settled is not None:
                settled[handling.position] = min(handling.settled, done or handling.settled)
        found += [
            f"written {len(each)} times although sent once: {identity} at {sorted(each)}"
            for identity, each in places.items()
            if len(each) > 1 and identity not in self.resent
        ]
        return found

    def repeats(self) -> tuple[int, int]:
        """Deliveries beyond the first: of the same record, and of a record that was sent again."""
        positions = {(each.identity, each.position) for each in self.handlings}
        return len(self.handlings) - len(positions), len(positions) - len(self.handled)

    def longest(self) -> float:
        """Seconds between the confirmation of a message and its first handling, at most."""
        first: dict[str, float] = {}
        for each in self.handlings:
            first[each.identity] = min(each.at, first.get(each.identity, each.at))
        return max((first[one] - at for one, at in self.sent.items() if one in first), default=0.0)


def soak(servers: str, script: Path, port: int, seconds: float, report: Report) -> None:
    """Print what happened; the report has failed if any of it must not have. SIGINT or SIGTERM ends it early."""
    _be_quiet()
    run = _Soak(f"kafka://{servers}", script, port)
    asyncio.run(run.run(seconds))
    books = run.books
    again, resent = books.repeats()
    faults = books.faults()
    faults += [f"{n} consumers ended by themselves with {code}" for code, n in run.ended.items()]
    table = (
        ("sent and confirmed", len(books.sent), ""),
        ("handled", len(books.sent) - len(books.missing()), ""),
        ("lost", len(books.missing()), "must be 0"),
        ("came again", again, "allowed: not settled when a consumer died or lost its partition"),
        ("written again", resent, f"allowed: {run.errors:,} calls of send_many were not confirmed"),
        ("other faults", len(faults) - len(books.missing()), "must be 0"),
        ("restarts of the broker", run.restarts, "every other by SIGKILL"),
        ("consumers killed", run.kills, "by SIGKILL"),
    )
    print(f"\nsoak: {run.lasted:.0f} s of {seconds:.0f} s")
    for name, count, remark in table:
        print(f"  {name:24}{count:10,}  {remark}".rstrip())
    print(f"  {'longest wait':24}{books.longest():8.1f} s  between confirmation and handling")
    for fault in faults[:20]:
        print(f"  FAULT {fault}")
    if len(faults) > 20:
        print(f"  FAULT and {len(faults) - 20:,} more")
    report.failed = bool(faults)
    report.figure("broker.soak.sent", len(books.sent), "messages")
    report.figure("broker.soak.lost", len(books.missing()), "messages")
    report.figure("broker.soak.repeats", again + resent, "messages")
    report.figure("broker.soak.longest_s", books.longest(), "s")


def _be_quiet() -> None:
    """Of a broker that is away there would be thousands of lines; what must not happen is told by the books."""
    logging.getLogger("hemline_broker").setLevel(logging.CRITICAL)


class _Soak:
    def __init__(self, url: str, script: Path, port: int) -> None:
        self.books = Books()
        self.restarts = self.kills = self.errors = 0
        self.lasted = 0.0
        self.ended: Counter[int] = Counter()
        self._url = url
        self._restart = [str(script), "restart", "--port", str(port)]
        self._topic = f"soak-{uuid.uuid4().hex[:8]}"
        self._ending = asyncio.Event()

    async def run(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        for number in _ENDING_SIGNALS:
            loop.add_signal_handler(number, self._end)
        async with connect(self._url) as broker:
            await broker.ensure(self._topic, "group", partitions=PARTITIONS)
            began = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                consumers = [tasks.create_task(self._consumers()) for _ in range(CONSUMERS)]
                restarts = tasks.create_task(self._restarts())
                tasks.create_task(self._progress(began, seconds))
                sender = tasks.create_task(self._send(broker.send_many))
                await self._ends_within(seconds)
                self._ending.set()
                self.lasted = time.monotonic() - began
                await restarts
                await sender
                await self._last_ones()
                for each in consumers:
                    each.cancel()

    def _end(self) -> None:
        """A second Ctrl-C does what it always does."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
        print(f"  ending: waits up to {LAST_ONES_S:.0f} s for the last messages", flush=True)
        self._ending.set()

    async def _last_ones(self) -> None:
        deadline = time.monotonic() + LAST_ONES_S
        while self.books.missing() and time.monotonic() < deadline:  # noqa: ASYNC110 - two conditions
            await asyncio.sleep(0.2)

    async def _send(self, send_many: Callable[..., Awaitable[object]]) -> None:
        while not self._ending.is_set():
            batch = [Message(b"x" * 500, key=str(number)) for number in range(20)]
            waiting: Sequence[Message] = batch
            while waiting:
                try:
                    await send_many(self._topic, waiting, timeout=60)
                    waiting = []
                except BrokerError as error:
                    self.errors += 1
                    if isinstance(error, SendFailed):
                        waiting = [waiting[place] for place in error.errors]
                    self.books.resent.update(message.id for message in waiting)
            now = time.monotonic()
            self.books.sent.update((message.id, now) for message in batch)
            await asyncio.sleep(0.05)

    async def _restarts(self) -> None:
        while not await self._ends_within(RESTART_EVERY_S):
            command = [*self._restart, *(["--kill"] if self.restarts % 2 else [])]
            run = partial(subprocess.run, check=True, capture_output=True, start_new_session=True)
            await asyncio.to_thread(run, command)
            self.restarts += 1

    async def _progress(self, began: float, seconds: float) -> None:
        while not await self._ends_within(PROGRESS_EVERY_S):
            print(
                f"  {time.monotonic() - began:4.0f} of {seconds:.0f} s: {len(self.books.sent):,} sent, "
                f"{len(self.books.missing()):,} of them not yet handled, {self.restarts} restarts, "
                f"{self.kills} kills",
                flush=True,
            )

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _consumers(self) -> None:
        """One consumer after the other, each until it is killed."""
        while True:
            # A session of its own: Ctrl-C at the terminal is for us alone.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, self._url, self._topic),
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            killing = asyncio.create_task(self._kill(process))
            try:
                await self._read(process)
            except asyncio.CancelledError:
                process.kill()
                raise
            finally:
                killing.cancel()
                code = await process.wait()
            if code not in (-signal.SIGKILL, os.EX_TEMPFAIL):
                self.ended[code] += 1

    async def _kill(self, process: asyncio.subprocess.Process) -> None:
        if not await self._ends_within(random.uniform(*KILL_AFTER_S)):
            self.kills += 1
            process.kill()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Enter in the books what a consumer says; half a line is what it had no time to say."""
        unsettled: list[Handling] = []
        if process.stdout is None:
            raise RuntimeError("no pipe")
        while (line := await process.stdout.readline()).endswith(b"\n"):
            what, *rest = line.decode().split()
            if what == "handled":
                handling = Handling(rest[0], rest[1], float(rest[2]))
                unsettled.append(handling)
                self.books.handle(handling)
                continue
            if what == "settled":
                for handling in unsettled:
                    handling.settled = float(rest[0])
            unsettled.clear()


async def _consume(url: str, topic: str) -> None:
    async with AsyncExitStack() as stack:
        try:
            broker = await stack.enter_async_context(connect(url))
            subscription = await stack.enter_async_context(broker.subscribe(topic, group="group"))
        except Unavailable:
            sys.exit(
                os.EX_TEMPFAIL
            )  # started while the broker is away: whoever started it tries again
        await _handle(subscription)


async def _handle(subscription: Subscription) -> None:
    """Say what is handled before it is acknowledged, and that all of it is settled after that is so."""
    settled_at = time.monotonic()
    async for batch in subscription.batches(50):
        for delivery in batch:
            print("handled", delivery.message.id, delivery.position, time.monotonic())
        sys.stdout.flush()
        batch.ack()
        if time.monotonic() - settled_at > SETTLE_EVERY_S:
            try:
                await subscription.settled()
            except AckLost:
                print("unsettled", flush=True)
            except BrokerError:
                continue  # the broker is away: it is settled later
            else:
                print("settled", time.monotonic(), flush=True)
            settled_at = time.monotonic()


if __name__ == "__main__":
    _be_quiet()
    asyncio.run(_consume(sys.argv[1], sys.argv[2]))
