"""End to end against the bare engine: what the loop costs, where the rest goes, how soon a lone image is answered.

    python bench/loop.py [--quick] [--kafka HOST:PORT]

The engine has one thread in both, so that the loop has a core of its own. A backlog of real PNG images lies on the
broker; a fresh `hemline-inference` process answers it, and what it took is read from its predictions. Before and after
each such pass the bare engine answers the same images, decoded, for a while: ratios are taken within such a group and
their median is shown. Without `--kafka` a broker is started from Maven Central's jars where Java and Maven are there;
else that half is left out, and said so.
"""

import argparse
import asyncio
import io
import json
import logging
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import _loop_idle as idle
import numpy as np
from _loop_service import Pass, Service
from PIL import Image

import hemline_model

HERE = Path(__file__).parent
KAFKA_SCRIPT = HERE.parent / "tests" / "servers" / "kafka" / "kafka.sh"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    images: int
    rounds: int
    bare_s: float
    lone_images: int
    pause_s: float


FULL = Size(images=16_384, rounds=5, bare_s=3.0, lone_images=150, pause_s=0.04)
QUICK = Size(images=6_144, rounds=3, bare_s=1.0, lone_images=50, pause_s=0.03)


@dataclass(slots=True)
class Series:
    """All rounds of one broker."""

    name: str
    service: Service
    passes: list[Pass] = field(default_factory=list)
    bare_rates: list[float] = field(default_factory=list)
    bare_cpu: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        """Of the bare engine, median of the rounds."""
        pairs = zip(self.passes, self.bare_rates, strict=True)
        return statistics.median(each.rate / bare for each, bare in pairs)

    def unqueued(self) -> float:
        """The same, had the engine never queued for a processor: what a busy machine cannot spoil."""
        pairs = zip(self.passes, self.bare_cpu, strict=True)
        return statistics.median(
            bare * 1e6 / (each.engine.running + each.engine.blocked) for each, bare in pairs
        )


class Bare:
    """The bare engine in its own process."""

    def __init__(self, images: Path) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, str(HERE / "_loop_peers.py"), "engine", "--images", str(images)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def run(self, seconds: float) -> dict[str, float]:
        """Images per second, and seconds of wall and processor time an image."""
        if self._popen.stdin is None:
            raise SystemExit("error: the bare engine has no input")
        self._popen.stdin.write(f"{seconds}\n")
        self._popen.stdin.flush()
        result: dict[str, float] = json.loads(self._read())
        return result

    def close(self) -> None:
        """End it."""
        self._popen.communicate("")

    def _read(self) -> str:
        line = self._popen.stdout.readline() if self._popen.stdout else ""
        if not line:
            raise SystemExit("error: the bare engine ended")
        return line


def encode_images() -> list[bytes]:
    """2,048 official test images as PNG files."""
    images = hemline_model.dataset("fashion-mnist-sample").split("test").images
    encoded = []
    for number in range(2048):
        out = io.BytesIO()
        Image.fromarray(np.asarray(images[number])[..., 0]).save(out, "PNG")
        encoded.append(out.getvalue())
    return encoded


def free_port_pair() -> int:
    """A port whose successor, for Kafka's controller, is free as well."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise SystemExit("error: no two neighbouring ports are free")


@contextmanager
def kafka_server(given: str | None) -> Iterator[str | None]:
    """`host:port` of a broker: the one named, or one started here; None, and why, when there is none."""
    if given:
        yield given.removeprefix("kafka://")
        return
    if not shutil.which("java") or not shutil.which("mvn"):
        print("kafka: left out: Java and Maven are not here; name a broker with --kafka HOST:PORT")
        yield None
        return
    port = free_port_pair()
    script = [str(KAFKA_SCRIPT), "up", "--port", str(port)]
    started = subprocess.run(script, capture_output=True, text=True, check=False)
    if started.returncode:
        print(f"kafka: left out: {started.stderr.strip()}")
        yield None
        return
    try:
        yield f"127.0.0.1:{port}"
    finally:
        script[1] = "down"
        subprocess.run(script, capture_output=True, check=False)


async def measure(series: list[Series], bare: Bare, encoded: list[bytes], size: Size) -> None:
    """Bare, loop, bare, loop, bare …"""
    for each in series:
        await each.service.prepare()
        # Fills caches and lets a fresh broker compile itself; not counted.
        await each.service.measure(encoded, size.images // 2, f"{each.name}-warm")
    before = bare.run(size.bare_s)
    for number in range(size.rounds):
        for each in series:
            prefix = f"{each.name}-{number}-{time.monotonic_ns()}"
            done = await each.service.measure(encoded, size.images, prefix)
            after = bare.run(size.bare_s)
            each.passes.append(done)
            each.bare_rates.append((before["rate"] + after["rate"]) / 2)
            each.bare_cpu.append((before["cpu"] + after["cpu"]) / 2)
            before = after
            print(
                f"  round {number + 1}/{size.rounds} {each.name:7} {done.rate:7,.0f} images/s, "
                f"bare {each.bare_rates[-1]:7,.0f}, ratio {done.rate / each.bare_rates[-1]:.3f}",
                flush=True,
            )


def show(series: Series) -> None:
    """Throughput, and where the time of an image goes."""
    passes = series.passes

    def micros(stage: str) -> float:
        return statistics.median(each.stages[stage] / each.images for each in passes) * 1e6

    bare = statistics.median(1e6 / rate for rate in series.bare_rates)
    bare_cpu = statistics.median(series.bare_cpu) * 1e6
    cpu = statistics.median(each.cpu_us for each in passes)
    rate = statistics.median(each.rate for each in passes)
    print(f"\n{series.name}: {rate:,.0f} images/s, {series.ratio():.3f} of the bare engine's")
    running, queued, blocked = (
        statistics.median(getattr(each.engine, part) for each in passes)
        for part in ("running", "queued", "blocked")
    )
    rows = [
        ("bare engine", bare, f"of it on a processor {bare_cpu:.0f}"),
        ("engine in the loop", running + queued + blocked, "which is the next three together:"),
        ("  on a processor", running, "more than bare: caches and memory shared with the loop"),
        ("  queued for one", queued, "all were busy: broker, loop and whatever else runs here"),
        ("  blocked", blocked, "the interpreter's lock, or no work"),
        ("  of that without work", micros("engine_idle"), "the loop was too slow to feed it"),
        ("decoding", micros("decode"), "beside the engine, on its own thread"),
        ("encoding answers", micros("encode"), "beside the engine, on the event loop"),
        ("publishing", micros("publish"), "waiting for durable answers, overlapped"),
        ("the rest of the process", cpu - running, "all processor time but the engine's"),
    ]
    for what, value, remark in rows:
        print(f"  {what:24} {value:8.1f} us an image   {remark}")


def figures(found: list[tuple[str, float, str]]) -> None:
    """One line for each figure, for machines."""
    for name, value, unit in found:
        print(f"figure {name} {value:.4g} {unit}")


def percentile(values: list[float], share: float) -> float:
    """By nearest rank."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def run(size: Size, kafka: str | None) -> None:
    """Everything."""
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} processors, load {load:.1f} before it began")
    encoded = encode_images()
    found: list[tuple[str, float, str]] = []
    with (
        tempfile.TemporaryDirectory(prefix="hemline-bench-") as name,
        kafka_server(kafka) as server,
    ):
        folder = Path(name)
        images = folder / "images.npz"
        save_encoded(encoded, images)
        bare = Bare(images)
        series = [Series("sqlite", Service(folder / "sqlite", f"sqlite:///{folder}/broker.db"))]
        if server:
            check_reachable(server)
            series.append(Series("kafka", Service(folder / "kafka", f"kafka://{server}")))
        try:
            asyncio.run(measure(series, bare, encoded, size))
        finally:
            bare.close()
        for each in series:
            show(each)
            found.append((f"loop.{each.name}.of_bare", each.ratio(), "ratio"))
            rate = statistics.median(done.rate for done in each.passes)
            found.append((f"loop.{each.name}.images_per_s", rate, "1/s"))
            found.append((f"loop.{each.name}.of_bare.unqueued", each.unqueued(), "ratio"))
        if server:
            ours, theirs = idle.measure(
                server, series[-1].service, encoded, size.lone_images, size.pause_s
            )
            print("\na lone image through Kafka, ms      p50    p99")
            for what, seen in (("hemline-inference", ours), ("bare confluent loop", theirs)):
                p50, p99 = percentile(seen, 0.5) * 1e3, percentile(seen, 0.99) * 1e3
                print(f"  {what:30} {p50:6.2f} {p99:6.2f}")
            ratio = percentile(ours, 0.5) / percentile(theirs, 0.5)
            found.append(("loop.kafka.idle_p50.of_bare", ratio, "ratio"))
            found.append(("loop.kafka.idle_p50_ms", percentile(ours, 0.5) * 1e3, "ms"))
        first = statistics.median(done.first_s for done in series[0].passes)
        memory = max(done.rss_mb for each in series for done in each.passes)
        found.append(("inference.cold_start_s", first, "s"))
        found.append(("inference.rss_mb", memory, "MB"))
    print()
    figures(found)


def save_encoded(encoded: list[bytes], path: Path) -> None:
    """Files of different lengths as one array of bytes, which can be read without running anything."""
    np.savez(
        path,
        data=np.frombuffer(b"".join(encoded), np.uint8),
        lengths=np.array([len(each) for each in encoded]),
    )


def check_reachable(server: str) -> None:
    """Say in one line that nobody listens there."""
    host, _, port = server.split(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: --kafka {server}: {error}; expected HOST:PORT") from error


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a minute or two instead of several")
    parser.add_argument(
        "--kafka",
        default=os.environ.get("HEMLINE_TEST_KAFKA"),
        help="HOST:PORT of a Kafka broker to use instead of one started here",
    )
    options = parser.parse_args()
    logging.getLogger("hemline_broker").setLevel(logging.ERROR)
    run(QUICK if options.quick else FULL, options.kafka)


if __name__ == "__main__":
    main()
