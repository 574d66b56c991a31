"""Running the real inference process for the benchmark, and reading what it did."""

import asyncio
import json
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import hemline_model
from hemline_api.events import Prediction
from hemline_api.topics import Topics
from hemline_broker import Message, connect
from hemline_store import Lake

TOGETHER = 32
PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Pass:
    """One run over a backlog.

    Attributes:
        rate: images per second, from the first batch's answers to the last one's.
        first_s: from starting the process to reading its first prediction, seconds.
        rss_mb: largest resident memory.
        cpu_us: processor time of the process for an image, its start left out, microseconds.
        stages: seconds by stage, as /status says.
        images: answered.
        engine: what the engine's thread did, in the middle of the pass.
    """

    rate: float
    first_s: float
    rss_mb: float
    cpu_us: float
    stages: dict[str, float]
    images: int
    engine: "Share"


@dataclass(frozen=True, slots=True)
class Share:
    """Where a thread's time went, in microseconds an image: all of it is one of the three.

    Attributes:
        running: on a processor.
        queued: ready, while every processor was busy with something else.
        blocked: waiting for the interpreter's lock, or for work.
    """

    running: float
    queued: float
    blocked: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment in the life of the process; ``threads`` maps each to its running and queued nanoseconds."""

    at: float
    answered: int
    cpu_s: float
    threads: dict[str, tuple[int, int]]

    def images_since(self, before: "Sample") -> int:
        """Images answered between two moments; a pass too short to be cut in two counts as one image."""
        return max(1, self.answered - before.answered)

    def since(self, before: "Sample") -> Share:
        """What the busiest thread did; that is the engine's."""
        images = self.images_since(before)
        running, queued = max(
            (
                now[0] - before.threads.get(name, (0, 0))[0],
                now[1] - before.threads.get(name, (0, 0))[1],
            )
            for name, now in self.threads.items()
        )
        wall = (self.at - before.at) * 1e9
        parts = (running, queued, max(0.0, wall - running - queued))
        return Share(*(part / 1e3 / images for part in parts))


class Service:
    """A lake with the shipped model, a rollout document, and a process that serves it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        # A name of its own for each run: on a broker that lives longer, nothing of an earlier run is in the way.
        self.topics = Topics(f"loop-{secrets.token_hex(4)}")
        folder.mkdir(parents=True, exist_ok=True)
        lake = Lake(str(folder / "lake"), self.topics.classifier)
        version = lake.models.publish(hemline_model.pretrained(), uid="bench")
        (folder / "rollout.json").write_text(json.dumps({"revision": 1, "stable": version}))

    async def prepare(self) -> None:
        """Make the topics, and a group that reads what is answered from now on."""
        async with connect(self.url) as broker:
            await broker.ensure(self.topics.images, "inference", start="oldest")
            await broker.ensure(self.topics.predictions, "bench", start="new")

    async def send(self, encoded: Sequence[bytes], count: int, prefix: str) -> None:
        """Put a backlog on the broker."""
        async with connect(self.url) as broker:
            for start in range(0, count, TOGETHER):
                numbers = range(start, min(start + TOGETHER, count))
                await broker.send_many(
                    self.topics.images,
                    [
                        Message(
                            encoded[n % len(encoded)],
                            key=f"{prefix}-{n}",
                            id=f"{prefix}-{n}",
                            content_type="image/png",
                        )
                        for n in numbers
                    ],
                )

    def start(self) -> "Process":
        """Start the service; its engine has one thread."""
        return Process(self)

    async def measure(self, encoded: Sequence[bytes], count: int, prefix: str) -> Pass:
        """Let a fresh process answer a backlog of `count` images."""
        await self.send(encoded, count, prefix)
        answers: list[Prediction] = []
        began = time.perf_counter()
        process = self.start()
        try:
            async with (
                connect(self.url) as broker,
                broker.subscribe(self.topics.predictions, group="bench") as subscription,
                asyncio.timeout(PATIENCE_S),
            ):
                first = anext(aiter(subscription))
                delivery = await first
                first_s = time.perf_counter() - began
                delivery.ack()
                answers.append(Prediction.from_json(delivery.message.data))
            await process.answered(count // 8)
            early = process.sample()
            await process.answered(count * 3 // 4)
            late = process.sample()
            # Nothing else runs while the stream flows: what it wrote is read afterwards.
            await process.answered(count)
            status, rss_mb = process.status(), process.rss_mb()
            cpu_us = (late.cpu_s - early.cpu_s) / late.images_since(early) * 1e6
        finally:
            process.stop()
        answers += await self.read(count - len(answers))
        return Pass(
            steady_rate(answers),
            first_s,
            rss_mb,
            cpu_us,
            status["stage_seconds"],
            len(answers),
            late.since(early),
        )

    async def read(self, count: int) -> list[Prediction]:
        """The next so many answers."""
        answers: list[Prediction] = []
        async with (
            connect(self.url) as broker,
            broker.subscribe(self.topics.predictions, group="bench") as subscription,
            asyncio.timeout(PATIENCE_S),
        ):
            while len(answers) < count:
                async for batch in subscription.batches(1024):
                    answers += [Prediction.from_json(each.message.data) for each in batch]
                    batch.ack()
                    if len(answers) >= count:
                        break
            await subscription.settled()
        return answers


class Process:
    """The running service."""

    def __init__(self, service: Service) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        folder = service.folder
        self.popen = subprocess.Popen(
            [
                sys.executable, "-m", "hemline_inference", "--broker", service.url,
                "--classifier", service.topics.classifier, "--lake", str(folder / "lake"),
                "--rollout", str(folder / "rollout.json"), "--cache", str(folder / "cache"),
                "--http", self._address, "--threads", "1", "--log-level", "warning",
            ]
        )  # fmt: skip
        self._seen = psutil.Process(self.popen.pid)

    def status(self) -> dict[str, Any]:
        """What /status says."""
        with urllib.request.urlopen(f"http://{self._address}/status", timeout=30) as answer:
            status: dict[str, Any] = json.load(answer)
            return status

    async def answered(self, count: int) -> None:
        """Wait until so many images are answered."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if self.popen.poll() is not None:
                raise SystemExit(f"error: the service ended with code {self.popen.returncode}")
            try:
                if self.status()["answered"] >= count:
                    return
            except OSError:
                pass  # it is still starting
            if time.monotonic() > deadline:
                raise SystemExit(f"error: {count} images were not answered in {PATIENCE_S:g} s")
            await asyncio.sleep(0.1)

    def sample(self) -> Sample:
        """Now."""
        threads = {}
        for task in Path(f"/proc/{self.popen.pid}/task").iterdir():
            # A thread that answered one HTTP request may end between being listed and being read.
            with suppress(FileNotFoundError, ProcessLookupError):
                running, queued, _ = (task / "schedstat").read_text().split()
                threads[task.name] = (int(running), int(queued))
        return Sample(time.perf_counter(), self.status()["answered"], self.cpu_s(), threads)

    def rss_mb(self) -> float:
        """Largest resident memory so far, in MB."""
        text = Path(f"/proc/{self.popen.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6

    def cpu_s(self) -> float:
        """Processor time so far."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def stop(self) -> None:
        """End it."""
        self.popen.terminate()
        try:
            self.popen.wait(30)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()


def steady_rate(answers: Sequence[Prediction]) -> float:
    """Images per second after the first batch: every later image came between the first and the last moment."""
    moments = Counter(answer.predicted_at for answer in answers)
    first, last = min(moments), max(moments)
    return (len(answers) - moments[first]) / (last - first).total_seconds()
