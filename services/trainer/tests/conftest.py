"""A tiny model, a lake with digits, a sample server and trainers, all of them real processes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from sklearn.datasets import load_digits

from hemline_store import Lake, Snapshot
from hemline_store.tables import ImageRow, ImportItem, LabelRow, Samples

PATIENCE_S = 400.0
SEEN = 1000
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def wait_until(condition: Callable[[], object], *, what: str) -> None:
    """Wait for a condition, for long enough on a busy machine."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting: {what}"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def fetch(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return str(answer.read().decode())


class Trainer:
    """One run; every start has the same options, and writes on to the same log."""

    def __init__(self, root: Path, arguments: list[str]) -> None:
        self.report = root / "report.json"
        self.digest = root / "digest.json"
        self.http = free_port()
        self._log = root / "trainer.log"
        self._arguments = [
            *(sys.executable, "-m", "hemline_trainer", *arguments),
            *("--report-file", str(self.report), "--termination-message", str(self.digest)),
            *("--work", str(root / "work"), "--http", f"127.0.0.1:{self.http}"),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *more: str) -> "Trainer":
        with self._log.open("ab") as log:
            self.process = subprocess.Popen([*self._arguments, *more], stderr=log)
        return self

    def run(self, *more: str) -> int:
        self.start(*more)
        return self.wait()

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def signal(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait()

    def status(self) -> dict[str, Any]:
        """What it says of itself; nothing while it does not answer."""
        assert self.process is not None and self.process.poll() is None, self.log()
        try:
            return dict(json.loads(fetch(self.http, "/status")))
        except OSError:
            return {}

    def wait_for_step(self, step: int) -> int:
        wait_until(lambda: self.status().get("step", 0) >= step, what=f"step {step}")
        return int(self.status()["step"])

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def told(self) -> dict[str, Any]:
        return dict(json.loads(self.report.read_text()))


class Place:
    """A lake with the digits that the base model has seen, and a sample server over it."""

    def __init__(self, root: Path, base: Path) -> None:
        self.root = root
        self.uri = str(root / "lake")
        self.lake = Lake(self.uri, "digits")
        self.lake.models.publish(base, uid="initial")
        self.samples = Samples.open(self.lake)
        digits = load_digits()
        self._images = (digits.images * 15).astype(np.uint8)
        self._labels = digits.target
        items = [
            ImportItem(f"old-{n}", self.png(n), "image/png", label=int(self._labels[n]))
            for n in range(SEEN)
        ]
        self.samples.import_dataset("digits", items)
        self._grpc, self._http = free_port(), free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._trainers: list[Trainer] = []

    def png(self, number: int, *, inverted: bool = False) -> bytes:
        image = self._images[number]
        return bytes(imagecodecs.png_encode(255 - image if inverted else image))

    def add_stream(self, run: str, *, inverted: bool, count: int = 797) -> Snapshot:
        """Digits that the model has not seen, with their labels; the snapshot before them."""
        before = self.samples.snapshot()
        images, labels = [], []
        for number in range(SEEN, SEEN + count):
            name, when = f"{run}-{number}", EPOCH + timedelta(seconds=number)
            body = self.png(number, inverted=inverted)
            images.append(ImageRow(name, body, "image/png", when))
            labels.append(LabelRow(name, int(self._labels[number]), None, when, name, when))
        self.samples.append_images(images)
        self.samples.append_labels(labels)
        return before

    def start_server(self) -> None:
        self._server = subprocess.Popen(
            [
                *(sys.executable, "-m", "hemline_samples", "serve"),
                *("--lake", self.uri, "--classifier", "digits"),
                *("--listen", f"127.0.0.1:{self._grpc}", "--http", f"127.0.0.1:{self._http}"),
            ]
        )

        def is_healthy() -> bool:
            with contextlib.suppress(OSError):
                return bool(fetch(self._http, "/healthz"))
            return False

        wait_until(is_healthy, what="serve is healthy")

    def kill_server(self) -> None:
        assert self._server is not None
        self._server.kill()
        self._server.wait()

    def trainer(self, uid: str, *options: str, base: int = 1) -> Trainer:
        root = self.root / f"run-{len(self._trainers)}"
        root.mkdir()
        trainer = Trainer(
            root,
            [
                *("--samples", f"127.0.0.1:{self._grpc}", "--lake", self.uri),
                *("--classifier", "digits", "--uid", uid, "--base", str(base), *options),
            ],
        )
        self._trainers.append(trainer)
        return trainer

    def end(self) -> None:
        for process in (self._server, *(trainer.process for trainer in self._trainers)):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows the first thousand digits."""
    out = tmp_path_factory.mktemp("base") / "model"
    script = Path(__file__).with_name("make_base.py")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, script, out, str(SEEN)], check=True, env=environment)
    return out


@pytest.fixture
def place(tmp_path: Path, base: Path) -> Iterator[Place]:
    """A lake of its own, with a server over it."""
    made = Place(tmp_path, base)
    try:
        made.start_server()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[Place]:
    """A lake without a server, for runs that end before they would ask one."""
    made = Place(tmp_path_factory.mktemp("still"), base)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits for a condition."""
    return wait_until
