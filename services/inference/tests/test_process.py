"""The service as a process of its own: killed, restarted, stopped, misused."""

import asyncio
import json
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hemline_api.events import Prediction
from hemline_api.topics import Topics
from hemline_broker import Message, connect

Bench = Any
PATIENCE_S = 90.0


class Process:
    """`hemline-inference` over an SQLite broker."""

    def __init__(self, bench: Bench, *options: str, log: Path, broker: str | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self.popen = subprocess.Popen(
                [
                    sys.executable, "-m", "hemline_inference",
                    "--broker", broker or url(bench), "--classifier", "mnist", "--lake", bench.uri,
                    "--rollout", str(bench.rollout), "--cache", str(bench.cache), *options,
                ],
                stdout=subprocess.PIPE,
                stderr=out,
            )  # fmt: skip

    def address(self) -> str:
        """Where its endpoints are, from its log."""
        until(lambda: "listening on port" in self.log.read_text(), self)
        line = self.log.read_text().rsplit("listening on port ", 1)[1]
        return f"http://127.0.0.1:{line.split(':')[0]}"

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.address() + path, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.get("/status")[1])
        return status

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal; the exit code and what was printed on stdout."""
        self.popen.send_signal(number)
        out, _ = self.popen.communicate(timeout=PATIENCE_S)
        return self.popen.returncode, out.decode()


@contextmanager
def running(bench: Bench, *options: str, broker: str | None = None) -> Iterator[Process]:
    log = bench.folder / f"log-{time.monotonic_ns()}"
    process = Process(bench, *options, log=log, broker=broker)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate()


def url(bench: Bench) -> str:
    return f"sqlite:///{bench.folder / 'broker.db'}"


def until(condition: Callable[[], bool], process: Process) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.popen.poll() is None, process.log.read_text()
        assert time.monotonic() < deadline, process.log.read_text()
        time.sleep(0.02)


async def prepare(images: dict[str, bytes], place: "Place") -> None:
    async with connect(place.url) as broker:
        await broker.ensure(place.topics.images)
        await broker.ensure(place.topics.predictions, "books", start="oldest")
        names = list(images)
        for start in range(0, len(names), 100):
            await broker.send_many(
                place.topics.images,
                [Message(images[n], key=n, id=n) for n in names[start : start + 100]],
            )


async def read_answers(wanted: set[str], place: "Place") -> Counter[str]:
    """Answers by image until all that are wanted are there, repeats counted."""
    seen: Counter[str] = Counter()
    async with (
        asyncio.timeout(PATIENCE_S),
        connect(place.url) as broker,
        broker.subscribe(place.topics.predictions, group="books") as subscription,
    ):
        async for batch in subscription.batches(500):
            for delivery in batch:
                seen[Prediction.from_json(delivery.message.data).id] += 1
            batch.ack()
            if wanted <= set(seen):
                break
        await subscription.settled()
    return seen


@dataclass(frozen=True)
class Place:
    """A broker, and names on it that nobody else uses."""

    url: str
    topics: Topics


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.kafka)])
def place(request: pytest.FixtureRequest, bench: Bench) -> Place:
    broker = url(bench)
    if request.param == "kafka":
        broker = request.getfixturevalue("kafka_url")
    return Place(broker, Topics("mnist", f"t{secrets.token_hex(4)}"))


async def test_killed_again_and_again_it_answers_every_image(
    bench: Bench, pngs: list[bytes], place: Place
) -> None:
    bench.roll_out(1, bench.publish("one"))
    options = ("--batch", "32", "--namespace", place.topics.namespace)
    sent: set[str] = set()
    answered, at_work = 0, 0
    for kill in range(3):
        images = {f"image-{kill}-{n}": pngs[n % len(pngs)] for n in range(1500)}
        await prepare(images, place)
        sent |= set(images)
        with running(bench, *options, broker=place.url) as process:
            until(lambda p=process: p.status()["answered"] > 0, process)
            answered += process.status()["answered"]
            code, _ = process.end(signal.SIGKILL)
            assert code == -signal.SIGKILL
            at_work += answered < len(sent)
    assert at_work, "every kill came when all was done: this has shown nothing"
    with running(bench, *options, broker=place.url) as process:
        seen = await read_answers(sent, place)
        until(lambda: process.status()["waiting"] == 0, process)
        code, _ = process.end(signal.SIGTERM)
        assert code == 0, process.log.read_text()
    assert set(seen) == sent


async def test_it_starts_with_nothing_and_says_what_it_waits_for(
    bench: Bench, pngs: list[bytes]
) -> None:
    with running(bench, "--console") as process:
        until(lambda: process.get("/healthz")[0] == 503, process)
        assert "rollout" in process.get("/healthz")[1]
        assert process.status()["serving"] == []
        bench.roll_out(1, bench.publish("one"))
        until(lambda: process.get("/healthz")[0] == 200, process)
        here = Place(url(bench), Topics("mnist"))
        await prepare({f"image-{n}": pngs[n] for n in range(7)}, here)
        until(lambda: process.status()["answered"] == 7, process)
        code, metrics = process.get("/metrics")
        assert code == 200
        assert 'hemline_broker_received_messages_total{topic="mnist.images"} 7.0' in metrics
        code, out = process.end(signal.SIGTERM)
    assert code == 0
    lines = sorted(out.splitlines())
    assert len(lines) == 7
    assert [line.split()[0] for line in lines] == [f"image-{n}" for n in range(7)]
    assert all(line.endswith("  v1") for line in lines)


def test_a_classifier_that_cannot_be_a_name_is_one_line(bench: Bench) -> None:
    ran = subprocess.run(
        [
            sys.executable, "-m", "hemline_inference", "--broker", url(bench),
            "--classifier", "No Name", "--lake", bench.uri, "--rollout", str(bench.rollout),
        ],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: classifier name: received 'No Name'")
    assert "Traceback" not in ran.stderr


def test_a_broker_url_of_an_unknown_kind_is_one_line(bench: Bench) -> None:
    ran = subprocess.run(
        [
            sys.executable, "-m", "hemline_inference", "--broker", "carrier-pigeon://x",
            "--classifier", "mnist", "--lake", bench.uri, "--rollout", str(bench.rollout),
        ],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("error: ")
    assert "carrier-pigeon" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_missing_option_is_a_usage_error() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "hemline_inference"],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert ran.returncode == 2
    assert "--broker" in ran.stderr
