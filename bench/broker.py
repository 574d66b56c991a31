"""The messaging library against the raw clients and its peers: throughput, idle latency, memory.

    python bench/broker.py [--quick] [--kafka HOST:PORT] [--pubsub HOST:PORT] [--soak [10m]]

Each body size is sent and received by every client in turn, several rounds over; ratios are taken within a round, and
their median is shown. "cpu us" is the processor time of the client's process for a message in microseconds, which other
work on the machine disturbs less than the rates. The broker runs on the same machine and shares its cores. Without
`--kafka` a broker is started from Maven Central's jars where Java and Maven are there; else that half is left out, and
said so. So it is with Pub/Sub's emulator, from the Cloud SDK. `--soak 10m` asks nothing but whether messages survive:
for that long the broker is restarted every 30 s and consumers are killed after 10 to 40 s each.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import _broker_clients as clients
import _broker_laps as laps
import _broker_memory as memory
import _broker_pubsub as pubsub
import _broker_soak as soak
from confluent_kafka import Producer

from hemline_broker import Message, connect

HERE = Path(__file__).parent
KAFKA_SCRIPT = HERE.parent / "tests" / "servers" / "kafka" / "kafka.sh"
KAFKA_PORT = 29892

IDLE_RUNS = 5

Figures = list[tuple[str, float, str]]


@contextmanager
def kafka(given: str | None) -> Iterator[tuple[str, int | None] | None]:
    """Servers, and the port of a broker that is ours to restart."""
    if given:
        yield given, None
        return
    if not (shutil.which("java") and shutil.which("mvn")):
        print("kafka: left out: Java and Maven are not here; name a broker with --kafka HOST:PORT")
        yield None
        return
    script = [str(KAFKA_SCRIPT)]
    started = subprocess.run(
        [*script, "up", "--port", str(KAFKA_PORT)], capture_output=True, text=True, check=False
    )
    if started.returncode:
        print(f"kafka: left out: {started.stderr.strip()}")
        yield None
        return
    try:
        yield f"127.0.0.1:{KAFKA_PORT}", KAFKA_PORT
    finally:
        subprocess.run([*script, "down", "--port", str(KAFKA_PORT)], check=False)


@dataclass
class Measured:
    """What one client did in each round: messages a second, processor time a message."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def take(self, work: clients.Work, lap: laps.Lap) -> None:
        await work(lap)
        self.rates.append(lap.count / lap.wall)
        self.cpu.append(lap.cpu / lap.count)

    def of(self, raw: Measured) -> float:
        """Median of the ratios within each round."""
        return statistics.median(a / b for a, b in zip(self.rates, raw.rates, strict=True))

    def cpu_of(self, raw: Measured) -> float:
        """The same of what one second of a processor brings."""
        return statistics.median(b / a for a, b in zip(self.cpu, raw.cpu, strict=True))


async def throughput(servers: str, size: int, count: int, rounds: int, found: Figures) -> None:
    """One body size through every client, send and receive; who begins changes from round to round."""
    body = os.urandom(size)
    compared = [clients.RAW, clients.OURS, clients.AIOKAFKA]
    if size == 200:
        compared += [clients.RAW_CONSTANT, clients.RAW_BARE, clients.FASTSTREAM]
    sent = {client.name: Measured() for client in compared}
    received = {client.name: Measured() for client in compared}
    stock = laps.Stock(servers)
    for number in range(rounds):
        topic = await laps.make_topic(servers)
        order = compared[::-1] if number % 2 else compared
        for client in order:
            if client.send is not None:
                lap = laps.Lap(servers, topic, body, count // client.part)
                await sent[client.name].take(client.send, lap)
        for client in order:
            if client.receive is not None:
                lap = await stock.lap(body, count // client.part)
                await received[client.name].take(client.receive, lap)
    print(
        f"\n{size:,} bytes, {count:,} messages, {rounds} rounds, load {os.getloadavg()[0]:.1f}\n"
        f"{'':32}  send/s    MB/s  of raw  cpu us   receive/s    MB/s  of raw  cpu us"
    )
    for client in compared:
        line = f"  {client.name:30}"
        for measured, width in ((sent, 8), (received, 12)):
            mine, raw = measured[client.name], measured[clients.RAW.name]
            if not mine.rates:
                line += f"{'-':>{width}}{'':24}"
                continue
            rate = statistics.median(mine.rates)
            line += f"{rate:{width},.0f}{rate * size / 1e6:8.1f}{mine.of(raw):8.2f}"
            line += f"{statistics.median(mine.cpu) * 1e6:8.1f}"
        print(line)
    if size == 200:
        for name, measured in (("send_many", sent), ("batches", received)):
            ours, raw = measured[clients.OURS.name], measured[clients.RAW.name]
            found.append((f"broker.kafka.{name}.of_raw", ours.of(raw), "ratio"))
            found.append((f"broker.kafka.{name}.cpu_of_raw", ours.cpu_of(raw), "ratio"))


async def one_by_one(servers: str, count: int, rounds: int, found: Figures) -> None:
    """A handler and an ack for each message, against FastStream's confluent backend."""
    body = os.urandom(200)
    stock = laps.Stock(servers)
    ours, theirs = Measured(), Measured()
    for _ in range(rounds):
        await ours.take(clients.ours_one_by_one, await stock.lap(body, count))
        await theirs.take(clients.faststream_one_by_one, await stock.lap(body, count // 5))
    ratio = ours.of(theirs)
    print(
        f"\na handler and an ack for each message: ours {statistics.median(ours.rates):,.0f}/s, "
        f"FastStream {statistics.median(theirs.rates):,.0f}/s, {ratio:.1f} times"
    )
    found.append(("broker.kafka.vs_faststream", ratio, "ratio"))


async def idle(servers: str, count: int, found: Figures) -> None:
    """A lone send, again and again, with a pause between; ratios of several runs of both in turn."""
    topic = await laps.make_topic(servers)
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 0})

    def raw() -> float:
        began = time.perf_counter()
        producer.produce(topic, b"x" * 200, "key", headers=laps.HEADERS)
        producer.flush()
        return time.perf_counter() - began

    ours: list[list[float]] = []
    bare: list[list[float]] = []
    async with connect(f"kafka://{servers}") as broker:
        for _ in range(IDLE_RUNS):
            ours.append([])
            bare.append([])
            for number in range(count // IDLE_RUNS + 20):
                a = raw()
                await asyncio.sleep(0.01)
                began = time.perf_counter()
                await broker.send(topic, Message(b"x" * 200, key="key"))
                b = time.perf_counter() - began
                await asyncio.sleep(0.01)
                if number >= 20:  # connections and topics are known by now
                    bare[-1].append(a)
                    ours[-1].append(b)

    def at(times: list[float], part: float) -> float:
        return sorted(times)[int(part * (len(times) - 1))] * 1000

    print("\na lone send, ms, median of runs      p50     p99")
    for name, runs in (("raw, linger 0", bare), ("hemline-broker", ours)):
        shown = [statistics.median(at(run, part) for run in runs) for part in (0.5, 0.99)]
        print(f"  {name:30}{shown[0]:8.2f}{shown[1]:8.2f}")
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        ratio = statistics.median(
            at(a, part) / at(b, part) for a, b in zip(ours, bare, strict=True)
        )
        found.append((f"broker.kafka.idle_{name}.of_raw", ratio, "ratio"))


async def sqlite(count: int, found: Figures) -> None:
    """The embedded broker alone."""
    print("\nSQLite                            send/s    MB/s   receive/s    MB/s")
    for size, part in ((200, 1), (10_000, 10), (1_000_000, 200)):
        body = os.urandom(size)
        number = max(count // part, 50)
        with tempfile.TemporaryDirectory() as folder:
            async with connect(f"sqlite:///{folder}/broker.db") as broker:
                await broker.ensure("bench")
                at_once = max(1, min(2000, 4_000_000 // size))
                sent = number / await clients.fill(broker, "bench", body, number, at_once)
                lap = laps.Lap("", "bench", body, number)
                lap.start()  # joining takes no time worth leaving out
                await clients.drain(broker, lap)
                received = number / lap.wall
        print(
            f"  {size:>9,} bytes          {sent:12,.0f} {sent * size / 1e6:7.1f} "
            f"{received:11,.0f} {received * size / 1e6:7.1f}"
        )
        if size == 200:
            found.append(("broker.sqlite.send_per_s", sent, "1/s"))
            found.append(("broker.sqlite.receive_per_s", received, "1/s"))


def duration(text: str) -> float:
    """Seconds of `90s`, `10m` or `1h`."""
    number, unit = text[:-1], text[-1:]
    if unit not in ("s", "m", "h") or not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time such as 90s, 10m or 1h")
    return int(number) * {"s": 1.0, "m": 60.0, "h": 3600.0}[unit]


def show(found: Figures) -> None:
    print()
    for name, value, unit in found:
        print(f"figure {name} {value:.4g} {unit}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a broker that is running")
    parser.add_argument("--pubsub", metavar="HOST:PORT", help="an emulator that is running")
    parser.add_argument(
        "--soak",
        nargs="?",
        const="10m",
        type=duration,
        metavar="TIME",
        help="instead: restart the broker and kill consumers for so long, such as 90s or 10m (10m if not said)",
    )
    options = parser.parse_args()
    quick = options.quick
    found: Figures = []
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before it began")
    with kafka(options.kafka) as running:
        if options.soak:
            if running is None or running[1] is None:
                sys.exit("--soak needs a broker that this program starts: leave out --kafka")
            show(soak.soak(running[0], KAFKA_SCRIPT, running[1], options.soak))
            return
        if running is not None:
            servers = running[0]
            rounds = 5 if quick else 9
            part = 4 if quick else 1
            for size, count in ((200, 200_000), (10_000, 20_000), (1_000_000, 400)):
                asyncio.run(throughput(servers, size, count // part, rounds, found))
            asyncio.run(one_by_one(servers, 5_000 if quick else 20_000, rounds, found))
            asyncio.run(idle(servers, 500 if quick else 2500, found))
            peak = memory.peak(f"kafka://{servers}", 200 if quick else 2000)
            print(f"\n15 MB messages through a bound of 256 MiB: {peak:,.0f} MB at most")
            found.append(("broker.memory_15mb_mb", peak, "MB"))
        with pubsub.emulator(options.pubsub) as endpoint:
            if endpoint is not None:
                # The official client finds the emulator by this name alone.
                os.environ["PUBSUB_EMULATOR_HOST"] = endpoint
                rounds, count = (3, 4_000) if quick else (7, 20_000)
                asyncio.run(pubsub.compare(rounds, count, found))
        asyncio.run(sqlite(100_000 if not quick else 50_000, found))
    show(found)


if __name__ == "__main__":
    main()
