"""Looking at processes over HTTP: real endpoints, made-up numbers."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from hemline.top import Watcher
from hemline.top._simulator import write_simulator_address
from hemline_api.metrics import BROKER_LAG, INFERENCE_LATENCY, INFERENCE_PREDICTIONS
from hemline_runtime import HttpEndpoint, Metrics


class World:
    """An installation and a simulator that answer."""

    def __init__(self, samples: SimpleNamespace, stack: ExitStack) -> None:
        self.metrics = Metrics()
        self.lag = self.metrics.gauge(BROKER_LAG)
        self.predictions = self.metrics.counter(INFERENCE_PREDICTIONS)
        self.latency = self.metrics.histogram(INFERENCE_LATENCY)
        inference = self._serve(stack, self.metrics, {})
        process = {"name": "inference", "pid": 1, "state": "running", "http": inference}
        status = samples.up(processes=[process]).model_dump(mode="json", by_alias=True)
        self.up = self._serve(stack, Metrics(), status)
        simulator = samples.simulator(state="streaming").model_dump(mode="json")
        self.simulator = self._serve(stack, Metrics(), simulator)

    def _serve(self, stack: ExitStack, metrics: Metrics, status: dict[str, object]) -> str:
        endpoint = HttpEndpoint(
            "127.0.0.1:0", registry=metrics.registry, status=lambda: status, healthy=lambda: None
        )
        stack.enter_context(endpoint)
        return f"127.0.0.1:{endpoint.port}"


@pytest.fixture
def world(samples: SimpleNamespace) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(samples, stack)


def test_everything_that_answers_is_seen(world: World) -> None:
    world.lag.labels("mnist.images", "inference").set(4)
    with Watcher(lambda: world.up, lambda: world.simulator) as watcher:
        first = watcher.look()
        world.predictions.labels("1", "bag").inc(50)
        for _ in range(50):
            world.latency.observe(0.02)
        time.sleep(0.01)  # a rate needs two moments
        second = watcher.look([(1.0, "Drift", "it came")])
    assert first.up is not None
    assert first.up.live == 2
    assert [event.kind.value for event in first.up.events] == ["FineTuneStarted", "Promoted"]
    assert first.simulator is not None
    assert first.simulator.sent == 3600
    assert first.lag == {"mnist.images": 4}
    assert second.inference is not None
    assert second.inference.rate is not None
    assert second.inference.rate > 0
    assert second.inference.latency_p50 == pytest.approx(0.0175)
    assert second.notes == [(1.0, "Drift", "it came")]


def test_a_new_inference_process_begins_to_count_again(world: World) -> None:
    world.predictions.labels("1", "bag").inc(50)
    with Watcher(lambda: world.up, lambda: None) as watcher:
        watcher.look()
        world.predictions.clear()
        seen = watcher.look().inference
    assert seen is not None
    assert seen.rate is None or seen.rate >= 0


def test_what_does_not_answer_is_none(world: World) -> None:
    with Watcher(lambda: "127.0.0.1:1", lambda: world.up) as watcher:
        seen = watcher.look()
    assert seen.up is None
    assert seen.inference is None or seen.inference.rate is None
    # It answers, but what it says is no simulator's status.
    assert seen.simulator is None


@pytest.fixture
def state(tmp_path: Path, world: World) -> Path:
    installation = {
        "state": "ready",
        "pid": 1,
        "broker": "sqlite:///x",
        "classifier": "mnist",
        "lake": "lake",
        "http": world.up,
    }
    (tmp_path / "up.json").write_text(json.dumps(installation))
    return tmp_path


def run_top(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "hemline", "top", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def test_one_look_as_a_line(state: Path, world: World) -> None:
    ended = run_top(f"--state={state}", "--once", f"--simulator={world.simulator}")
    assert ended.returncode == 0, ended.stderr
    assert "version 2 (live) 82.0%" in ended.stdout
    assert "Promoted: version 2 is live" in ended.stdout


def test_a_demos_simulator_is_found(state: Path, world: World) -> None:
    write_simulator_address(state, world.simulator)
    ended = run_top(f"--state={state}", "--once")
    assert ended.returncode == 0, ended.stderr
    assert "sent 3,600, answered 3,600" in ended.stdout


def test_nothing_to_look_at_is_one_line(tmp_path: Path) -> None:
    ended = run_top(f"--state={tmp_path}", "--once")
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1


def test_on_a_terminal_it_is_drawn_until_ctrl_c(state: Path, world: World) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "hemline", "top", f"--state={state}", "--every=0.1"),
            f"--simulator={world.simulator}",
        ],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "50"},
    )
    os.close(theirs)
    try:
        seen = b""
        deadline = time.monotonic() + 120
        while b"version 2 is live" not in seen or seen.count(b"live accuracy") < 3:
            assert time.monotonic() < deadline, seen.decode(errors="replace")
            seen += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        # A terminal that nobody reads would hold the process up.
        try:
            while os.read(ours, 65536):
                pass
        except OSError:
            pass
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    text = seen.decode(errors="ignore")  # a read may end within a character
    assert "╭" in text
    assert "▇" in text
