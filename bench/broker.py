"""The messaging library against the raw clients and its peers: throughput, a lone send at idle, memory.

Every client sends and receives bodies of 200 B, 10 kB and 1 MB in turn: on Kafka raw confluent-kafka, ours, aiokafka
and FastStream; on Pub/Sub's emulator google-cloud-pubsub, ours and kombu; ours on SQLite. A row is the median of its
rounds, "of ref" the median of the ratios within a round to the first client of that backend, and who begins changes
from round to round. Brokers run on the same machine and share its cores.

Clients of whom figures are named take part in every round, the others in the first. `--quick` means fewer messages and
rounds. Kafka is started from Maven Central's jars and the emulator from the Cloud SDK; where that cannot be, that part
is left out, and said so, and the rest is measured.

`--soak 10m` asks nothing but whether messages survive: for that long the broker is restarted every 30 s and consumers
are killed after 10 to 40 s each. Ctrl-C ends it early, with what was found until then.

Exit codes: 0 measured, 1 a part failed or a message was lost, 2 wrong usage, 130 and 143 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import _broker_clients as clients
import _broker_memory as memory
import _broker_peers as peers
import _broker_pubsub as pubsub
import _broker_soak as soak
import _broker_sqlite as sqlite
from _broker_idle import idle
from _broker_kafka import SCRIPT, KafkaGround, Running, kafka
from _broker_table import SIZES, Goal, Report, Result, Rounds, compare

PARTS = ("kafka", "each", "idle", "memory", "pubsub", "sqlite")
ON_KAFKA = frozenset(PARTS[:4])
GOALS = {
    "broker.kafka.send_many.of_raw": Goal(at_least=0.9),
    "broker.kafka.batches.of_raw": Goal(at_least=0.9),
    "broker.kafka.vs_faststream": Goal(at_least=3),
    "broker.kafka.idle_p99.of_raw": Goal(at_most=1.3),
    "broker.pubsub.of_official": Goal(at_least=1),
    "broker.memory_15mb_mb": Goal(at_most=600),
}


@dataclass(frozen=True)
class Plan:
    """How much of everything.

    Attributes:
        kafka, pubsub, sqlite: size of a body → messages a round.
        rounds: at 200 bytes, of which figures are named.
        large_rounds: of the larger bodies.
        each: messages with a handler and an ack for each.
        idle: lone sends of either client.
        memory: messages of 15 MB.
    """

    kafka: tuple[int, ...]
    pubsub: tuple[int, ...]
    sqlite: tuple[int, ...]
    rounds: Rounds
    large_rounds: Rounds
    each: int
    idle: int
    memory: int

    def rounds_of(self, size: int) -> Rounds:
        return self.rounds if size == min(SIZES) else self.large_rounds


QUICK = Plan(
    kafka=(100_000, 20_000, 200),
    pubsub=(4_000, 1_000, 40),
    sqlite=(50_000, 5_000, 100),
    rounds=Rounds(7, 1),
    large_rounds=Rounds(3, 1),
    each=5_000,
    idle=4_000,
    memory=200,
)
FULL = Plan(
    kafka=(200_000, 20_000, 400),
    pubsub=(10_000, 4_000, 100),
    sqlite=(100_000, 10_000, 250),
    rounds=Rounds(9, 3),
    large_rounds=Rounds(5, 3),
    each=20_000,
    idle=10_000,
    memory=2_000,
)


async def on_kafka(ground: KafkaGround, plan: Plan, report: Report) -> None:
    """Every client of Kafka, and the figures of sending and receiving many."""
    named = [clients.RAW, clients.OURS]
    for size, count in zip(SIZES, plan.kafka, strict=True):
        others = [peers.AIOKAFKA, peers.FASTSTREAM]
        if size == min(SIZES):
            others += [clients.RAW_CONSTANT, clients.RAW_BARE]
        rounds = plan.rounds_of(size)
        results = await compare(ground, size, count, named, others, rounds, report)
        if size == min(SIZES):
            _name_figures(results, report)


def _name_figures(results: dict[str, Result], report: Report) -> None:
    raw, ours = results[clients.RAW.name], results[clients.OURS.name]
    for name, mine, other in (
        ("send_many", ours.sent, raw.sent),
        ("batches", ours.received, raw.received),
    ):
        report.figure(f"broker.kafka.{name}.of_raw", mine.of(other), "ratio")
        report.figure(f"broker.kafka.{name}.cpu_of_raw", mine.cpu_of(other), "ratio")
        report.note(
            f"{name} at 200 B: {mine.cpu_us():.1f} us of the client's processor time a message, raw "
            f"{other.cpu_us():.1f} us"
        )


async def each_on_kafka(ground: KafkaGround, plan: Plan, report: Report) -> None:
    """A handler and an ack for each message, against FastStream's confluent backend."""
    size = min(SIZES)
    named = [peers.FASTSTREAM_EACH, clients.OURS_EACH]
    results = await compare(ground, size, plan.each, named, [], plan.large_rounds, report)
    theirs, ours = (results[client.name].received for client in named)
    report.figure("broker.kafka.vs_faststream", ours.of(theirs), "ratio")
    report.note(
        "run() calls a handler and acks for each message; its reference is FastStream that does the same"
    )


async def memory_on_kafka(ground: KafkaGround, servers: str, plan: Plan, report: Report) -> None:
    """What a consumer of large messages needs, in a process of its own."""
    report.progress(f"memory: {plan.memory:,} messages of 15 MB")
    async with ground.topic(**memory.TOPIC) as topic:
        found = await memory.peak(f"kafka://{servers}", topic, plan.memory)
    report.note(
        f"{plan.memory:,} messages of 15 MB, {memory.HANDLER_S * 1000:.0f} ms a handler, at most 256 MiB in flight: "
        f"{found:,.0f} MB at most"
    )
    report.figure("broker.memory_15mb_mb", found, "MB")


async def idle_on_kafka(ground: KafkaGround, servers: str, plan: Plan, report: Report) -> None:
    """A lone send."""
    report.progress(f"a lone send at idle, {plan.idle:,} times each")
    async with ground.topic() as topic:
        await idle(servers, topic, plan.idle, report)


async def on_pubsub(endpoint: str, plan: Plan, report: Report) -> None:
    """Every client of Pub/Sub; the figure is the smaller of the two ratios at 200 bytes."""
    ground = pubsub.PubsubGround(endpoint)
    named = [pubsub.OFFICIAL, pubsub.OURS]
    for size, count in zip(SIZES, plan.pubsub, strict=True):
        rounds = plan.rounds_of(size)
        results = await compare(ground, size, count, named, [pubsub.KOMBU], rounds, report)
        if size == min(SIZES):
            official, ours = (results[client.name] for client in named)
            sent, received = ours.sent.of(official.sent), ours.received.of(official.received)
            report.figure("broker.pubsub.of_official", min(sent, received), "ratio")
            report.figure("broker.pubsub.send.of_official", sent, "ratio")
            report.figure("broker.pubsub.receive.of_official", received, "ratio")
    report.note(
        "kombu sends without learning what was taken, as base64 within JSON, and acks one message a request"
    )


async def on_sqlite(plan: Plan, report: Report) -> None:
    """Ours alone."""
    for size, count in zip(SIZES, plan.sqlite, strict=True):
        rounds = plan.large_rounds
        results = await compare(
            sqlite.SqliteGround(), size, count, [sqlite.OURS], [], rounds, report
        )
        if size == min(SIZES):
            (ours,) = results.values()
            report.figure("broker.sqlite.send_per_s", ours.sent.rate(), "1/s")
            report.figure("broker.sqlite.receive_per_s", ours.received.rate(), "1/s")


@contextmanager
def attempt(what: str, report: Report) -> Iterator[None]:
    """One part's failure must not cost the figures of the others."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - reported, and the exit code says so
        report.failure(what, error)


def measure(options: argparse.Namespace, report: Report) -> None:
    """All parts that were asked for."""
    plan = QUICK if options.quick else FULL
    only = frozenset(options.only or PARTS)
    if only & ON_KAFKA:
        with kafka(options.kafka, report) as running, attempt("Kafka", report):
            if running is not None:
                measure_kafka(running, plan, only, report)
    if "pubsub" in only:
        with pubsub.emulator(options.pubsub, report) as endpoint, attempt("Pub/Sub", report):
            if endpoint is not None:
                asyncio.run(on_pubsub(endpoint, plan, report))
    if "sqlite" in only:
        with attempt("SQLite", report):
            asyncio.run(on_sqlite(plan, report))


def measure_kafka(running: Running, plan: Plan, only: frozenset[str], report: Report) -> None:
    """The parts that need Kafka."""
    servers = running.servers
    ground = KafkaGround(servers)
    parts: dict[str, Callable[[], object]] = {
        "kafka": lambda: asyncio.run(on_kafka(ground, plan, report)),
        "each": lambda: asyncio.run(each_on_kafka(ground, plan, report)),
        "idle": lambda: asyncio.run(idle_on_kafka(ground, servers, plan, report)),
        "memory": lambda: asyncio.run(memory_on_kafka(ground, servers, plan, report)),
    }
    for name, part in parts.items():
        if name in only:
            with attempt(f"Kafka, {name}", report):
                part()


def survive(options: argparse.Namespace, report: Report) -> None:
    """The soak."""
    with kafka(None, report) as running:
        if running is None or running.port is None:
            report.failed = True
        else:
            soak.soak(running.servers, SCRIPT, running.port, options.soak, report)


def duration(text: str) -> float:
    """Seconds of `90s`, `10m` or `1h`."""
    number, unit = text[:-1], text[-1:]
    if unit not in ("s", "m", "h") or not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a time such as 90s, 10m or 1h")
    return int(number) * {"s": 1.0, "m": 60.0, "h": 3600.0}[unit]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a broker that is running")
    parser.add_argument("--pubsub", metavar="HOST:PORT", help="an emulator that is running")
    parser.add_argument(
        "--only",
        action="append",
        choices=PARTS,
        help="measure this part, may be given several times: kafka is its throughput, each a handler and an ack for "
        "each message, idle a lone send, memory 15 MB messages",
    )
    parser.add_argument(
        "--soak",
        nargs="?",
        const="10m",
        type=duration,
        metavar="TIME",
        help="instead: restart the broker and kill consumers for so long, such as 90s or 10m (10m if not said)",
    )
    options = parser.parse_args()
    if options.soak and options.kafka:
        parser.error("--soak restarts its broker, so it must start it itself: leave out --kafka")
    return options


def main() -> int:
    options = arguments()
    # Brokers that were started must be stopped, whoever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report(GOALS)
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before it began\n")
    code = 0
    try:
        (survive if options.soak else measure)(options, report)
    except KeyboardInterrupt:
        report.note("INTERRUPTED: what is above and below was measured until then")
        code = 128 + signal.SIGINT
    report.finish()
    return code or int(report.failed)


if __name__ == "__main__":
    sys.exit(main())
