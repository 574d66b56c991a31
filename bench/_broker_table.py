"""What bench/broker.py measures with: laps against the clock, rounds in which clients alternate, one table of all."""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

SIZES = {200: "200 B", 10_000: "10 kB", 1_000_000: "1 MB"}
_FEWEST = 50  # messages that even a slow client gets, if there are so many


class Lap:
    """What one client moves once. It starts and stops the clock itself: connecting and closing are not counted.

    Attributes:
        address: where the broker is.
        topic: to send to, or to read one message more than `count` from: the first says that the client is there.
        body: of each message.
        count: of messages.
        wall: seconds between start and stop; 0 before the start.
        cpu: seconds of processor time of this process in between, the threads of its clients included.
    """

    def __init__(self, address: str, topic: str, body: bytes, count: int) -> None:
        self.address = address
        self.topic = topic
        self.body = body
        self.count = count
        self.wall = self.cpu = 0.0

    def start(self) -> None:
        self.wall, self.cpu = -time.perf_counter(), -time.process_time()

    def stop(self) -> None:
        self.wall += time.perf_counter()
        self.cpu += time.process_time()

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.count / self.wall


Work = Callable[[Lap], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Client:
    """What moves a lap's messages; None for what the client is not compared in."""

    name: str
    send: Work | None
    receive: Work | None
    part: int = 1  # of the messages it gets one in so many, because it is slow

    def share(self, count: int) -> int:
        return max(count // self.part, min(count, _FEWEST))


class Ground(Protocol):
    """A broker on which clients are compared."""

    name: str

    async def round(self, client: Client, body: bytes, count: int) -> tuple[Lap | None, Lap | None]:
        """The laps of sending and of receiving, on topics that nobody else uses."""


@dataclass
class Measured:
    """One client's laps in one direction, a lap a round."""

    laps: list[Lap] = field(default_factory=list)

    def rate(self) -> float:
        return statistics.median(lap.rate for lap in self.laps)

    def cpu_us(self) -> float:
        """Microseconds of processor time a message."""
        return statistics.median(lap.cpu / lap.count * 1e6 for lap in self.laps)

    def of(self, reference: Measured) -> float:
        """Median of the ratios within each round."""
        pairs = zip(self.laps, reference.laps, strict=False)
        return statistics.median(mine.rate / other.rate for mine, other in pairs)

    def cpu_of(self, reference: Measured) -> float:
        """The same of what one second of a processor brings."""
        pairs = zip(self.laps, reference.laps, strict=False)
        return statistics.median(
            (other.cpu / other.count) / (mine.cpu / mine.count) for mine, other in pairs
        )


@dataclass
class Result:
    """Both directions of one client."""

    sent: Measured = field(default_factory=Measured)
    received: Measured = field(default_factory=Measured)


@dataclass(frozen=True)
class Rounds:
    """How often: those of whom figures are named, the first of them the reference, and those beside them."""

    named: int
    others: int = 1


@dataclass(frozen=True)
class Goal:
    """What a figure should be."""

    at_least: float | None = None
    at_most: float | None = None

    def missed(self, value: float) -> bool:
        return (self.at_least is not None and value < self.at_least) or (
            self.at_most is not None and value > self.at_most
        )

    def __str__(self) -> str:
        return (
            f"at least {self.at_least:g}" if self.at_most is None else f"at most {self.at_most:g}"
        )


class Report:
    """One row a client and size, printed as they come; then notes, then figures beside their goals.

    Args:
        goals: of figures, by their names.
    """

    def __init__(self, goals: Mapping[str, Goal]) -> None:
        self.failed = False
        self._goals = goals
        self._began = time.monotonic()
        self._notes: list[str] = []
        self._figures: list[tuple[str, float, str]] = []
        self._row_shown = False

    def progress(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:4.0f} s] {text}", file=sys.stderr, flush=True)

    def rows(self, ground: str, size: int, results: Mapping[str, Result]) -> None:
        if not self._row_shown:
            self._row_shown = True
            print(
                f"{'backend':9}{'client':28}{'size':>6}{'rounds':>7}"
                f"{'send/s':>11}{'MB/s':>9}{'of ref':>8}{'receive/s':>12}{'MB/s':>9}{'of ref':>8}"
            )
        reference = next(iter(results.values()))
        for name, result in results.items():
            laps = len(result.sent.laps or result.received.laps)
            line = f"{ground:9}{name:28}{SIZES[size]:>6}{laps:>7}"
            for mine, other, width in (
                (result.sent, reference.sent, 11),
                (result.received, reference.received, 12),
            ):
                if not mine.laps:
                    line += f"{'-':>{width}}{'-':>9}{'-':>8}"
                    continue
                rate = mine.rate()
                line += f"{rate:{width},.0f}{rate * size / 1e6:9,.1f}"
                line += f"{mine.of(other):8.2f}" if len(results) > 1 and other.laps else f"{'-':>8}"
            print(line, flush=True)

    def note(self, text: str) -> None:
        self._notes.append(text)

    def missing(self, text: str) -> None:
        """Say at once, and again where the results are, that a part was not measured."""
        print(f"LEFT OUT: {text}", file=sys.stderr, flush=True)
        self.note(f"LEFT OUT: {text}")

    def failure(self, what: str, error: BaseException) -> None:
        """The same of a part that could not be ended; the rest goes on."""
        self.failed = True
        text = f"FAILED: {what}: {type(error).__name__}: {error}"
        print(text, file=sys.stderr, flush=True)
        self.note(text)

    def figure(self, name: str, value: float, unit: str) -> None:
        self._figures.append((name, value, unit))

    def finish(self) -> None:
        print()
        for note in self._notes:
            print(f"  {note}")
        print(
            f"  {time.monotonic() - self._began:.0f} s in all, load {os.getloadavg()[0]:.1f} at the end\n"
        )
        for name, value, _ in self._figures:
            if goal := self._goals.get(name):
                verdict = "MISSED, bench/README.md says why" if goal.missed(value) else "met"
                print(f"  {name} should be {goal}: {value:.4g}, {verdict}")
        print()
        for name, value, unit in self._figures:
            print(f"figure {name} {value:.4g} {unit}")


async def compare(
    ground: Ground,
    size: int,
    count: int,
    named: Sequence[Client],
    others: Sequence[Client],
    rounds: Rounds,
    report: Report,
) -> dict[str, Result]:
    """Every client sends and receives bodies of one size; who begins changes from round to round."""
    body = os.urandom(size)
    results = {client.name: Result() for client in (*named, *others)}
    for number in range(max(rounds.named, rounds.others)):
        taking = [*named] if number < rounds.named else []
        taking += others if number < rounds.others else []
        report.progress(f"{ground.name}, {SIZES[size]}: round {number + 1} of {rounds.named}")
        for client in taking[::-1] if number % 2 else taking:
            gc.collect()  # nobody pays for what another has left
            sent, received = await ground.round(client, body, client.share(count))
            result = results[client.name]
            result.sent.laps += [sent] if sent else []
            result.received.laps += [received] if received else []
    report.rows(ground.name, size, results)
    return results
