"""The simulator as a process: killed, stopped, misused."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hemline_broker import Message, connect
from hemline_client_sim import Status

Answering = Callable[..., contextlib.AbstractAsyncContextManager[list[Message]]]
PATIENCE = 120.0


class Simulator:
    """Starts the simulator; every start has the same options."""

    def __init__(self, place: Path, *options: str) -> None:
        self.books = place / "books.json"
        self.journal = place / "books.jsonl"
        self.broker = f"sqlite:///{place}/broker.db"
        self._log = place / "log.txt"
        self._options = options
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "hemline_client_sim", f"--broker={self.broker}"),
                    *(f"--books={self.books}", "--run=r1", "--seed=7", "--resume"),
                    *self._options,
                ],
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        return self._log.read_text()

    async def until(self, what: str, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.log()}"
            await asyncio.sleep(0.02)

    async def until_events(self, code: str, number: int) -> None:
        def reached() -> bool:
            if not self.journal.exists():
                return False
            start = f'["{code}",'.encode()
            lines = self.journal.read_bytes().splitlines()
            return sum(line.startswith(start) for line in lines) >= number

        await self.until(f"{number} events {code!r}", reached)

    def kill(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def end(self) -> int:
        process = self.process
        assert process is not None
        await self.until("its end", lambda: process.poll() is not None)
        return process.wait()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Callable[..., Simulator]]:
    made: list[Simulator] = []

    def make(*options: str) -> Simulator:
        made.append(Simulator(tmp_path, *options))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None and one.process.poll() is None:
            one.process.kill()
            one.process.wait()


FAST = ("--rate=80", "--label-delay=0.1", "--drain=90")


async def test_sigkill_in_the_middle_of_the_stream_changes_no_number(
    simulator: Callable[..., Simulator], answering: Answering
) -> None:
    """Kill it while images, answers and labels are on their way; the resumed run ends with whole books."""
    one = simulator(*FAST, "--count=200")
    async with connect(one.broker) as broker, answering(broker) as received:
        one.start()
        await one.until_events("s", 20)
        one.kill(signal.SIGKILL)
        assert await one.end() == -signal.SIGKILL
        one.start()
        await one.until_events("l", 60)
        one.kill(signal.SIGKILL)
        assert await one.end() == -signal.SIGKILL
        one.start()
        assert await one.end() == 0, one.log()
    status = Status.model_validate_json(one.books.read_bytes())
    assert status.balanced
    assert (status.sent, status.answered, status.labels, status.scored) == (200, 200, 200, 200)
    assert status.counted_twice == 0
    assert len({message.id for message in received}) == 200


async def test_sigterm_ends_the_stream_and_closes_the_books(
    simulator: Callable[..., Simulator], answering: Answering
) -> None:
    one = simulator(*FAST, "--console", "--corrupt=0.2")
    async with connect(one.broker) as broker, answering(broker):
        one.start()
        await one.until_events("a", 20)
        one.kill(signal.SIGTERM)
        assert await one.end() == 0, one.log()
    status = Status.model_validate_json(one.books.read_bytes())
    assert status.ended == "signal"
    assert status.balanced
    assert "the books balance" in one.log()
    assert "r1-" in one.log()


async def test_an_unanswered_image_is_exit_code_one_and_one_line(
    simulator: Callable[..., Simulator],
) -> None:
    one = simulator("--rate=80", "--count=3", "--label-delay=0", "--drain=0.5")
    one.start()
    assert await one.end() == 1
    errors = [line for line in one.log().splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: the books do not balance: 3 images were sent and never answered (lost)"
    ]
    assert "Traceback" not in one.log()


async def test_it_answers_metrics_health_and_status(
    simulator: Callable[..., Simulator], answering: Answering
) -> None:
    one = simulator(*FAST, "--http=127.0.0.1:0", "--drift=inversion@1h")

    def read(path: str) -> str:
        port = one.log().split("http on port ")[1].split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as reply:
            return str(reply.read().decode())

    async with connect(one.broker) as broker, answering(broker):
        one.start()
        await one.until_events("a", 30)
        await one.until(
            "a status with answers",
            lambda: Status.model_validate_json(read("/status")).scored >= 10,
        )
        status = Status.model_validate_json(read("/status"))
        assert status.state == "streaming"
        assert [phase.name for phase in status.phases] == ["clean", "inversion"]
        assert status.window
        assert status.bins
        assert status.latency_p50 is not None
        assert read("/healthz") == "ok\n"
        metrics = read("/metrics")
        assert "hemline_client_sim_answered_images_total" in metrics
        assert "hemline_client_sim_latency_seconds_bucket" in metrics
        assert 'hemline_client_sim_accuracy_ratio{version="1"}' in metrics
        one.kill(signal.SIGTERM)
        assert await one.end() == 0, one.log()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--drift=sepia@3s"], "received kind 'sepia', expected one of inversion"),
        (["--interval=0"], "interval: received 0.0, expected more than 0"),
        (["--data=/nowhere"], "no data set at '/nowhere'"),
        (["--run=a-b"], "run: received 'a-b'"),
        (["--corrupt=2"], "corrupt images: received 2.0"),
        (["--resume"], "--resume needs --books"),
        (["--http=nowhere"], "--http: received 'nowhere'"),
        (["--log-level=loud"], "--log-level"),
        (["--broker=carrier-pigeon://x"], "carrier-pigeon"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, options: list[str], words: str) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "hemline_client_sim"),
            *(f"--broker=sqlite:///{tmp_path}/b.db", *options),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=tmp_path,
    )
    assert ended.returncode in (1, 2)
    lines = ended.stderr.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert words in lines[-1]
    assert "Traceback" not in ended.stderr


def test_the_books_of_another_stream_are_not_gone_on_with(tmp_path: Path) -> None:
    journal = tmp_path / "books.jsonl"
    header = {
        "format": 1,
        "run": "r1",
        "classifier": "mnist",
        "data": "fashion-mnist-sample",
        "seed": 1,
        "drifts": [],
        "started": 0,
    }
    journal.write_text(json.dumps(header) + '\n["r",1.0]\n')
    command = [
        *(sys.executable, "-m", "hemline_client_sim", "--broker=memory:x"),
        f"--books={tmp_path}/books.json",
    ]
    for extra, words in ((["--resume", "--seed=2"], "seed was 1"), ([], "--resume goes on")):
        ended = subprocess.run(
            [*command, *extra], check=False, capture_output=True, text=True, timeout=PATIENCE
        )
        assert ended.returncode == 2
        assert words in ended.stderr
