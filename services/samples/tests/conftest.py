"""Real processes over a real lake, and images to fill it with."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

import hemline_model as hm
from hemline_store import Lake
from hemline_store.tables import ImageRow, ImportItem, LabelRow, Samples

PATIENCE_S = 120.0
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def make_image(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A 28x28 image that tells its number: two bytes of it stand in the corner."""
    image = np.full((28, 28, 1), number % 251, np.uint8)
    image[0, 0, 0], image[0, 1, 0] = divmod(number, 256)
    return image


def make_png(number: int) -> bytes:
    """The same, encoded."""
    return bytes(imagecodecs.png_encode(make_image(number)[:, :, 0]))


def wait_until(condition: Callable[[], object], *, what: str) -> None:
    """Wait for a condition, for long enough on a busy machine."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"gave up waiting: {what}"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """One process of `hemline-samples`; every start has the same options and ports."""

    def __init__(self, log: Path, command: str, *options: str) -> None:
        self._log = log
        self.http = free_port()
        self._arguments = [
            *(sys.executable, "-m", "hemline_samples", command, *options),
            *("--http", f"127.0.0.1:{self.http}"),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._arguments, stderr=log)
        return self.process

    def start(self) -> "Service":
        self.spawn()
        self.wait_healthy()
        return self

    def wait_healthy(self) -> None:
        wait_until(self.is_healthy, what=f"{self._arguments[3]} is healthy")

    def answers(self) -> bool:
        """Whether it is there at all, healthy or not."""
        try:
            return bool(self.get("/status"))
        except OSError:
            return False

    def is_healthy(self) -> bool:
        assert self.process is not None and self.process.poll() is None, self.log()
        try:
            return bool(self.get("/healthz"))
        except (urllib.error.URLError, OSError):
            return False

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=30) as answer:
            return str(answer.read().decode())

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.get("/status")))

    def metric(self, name: str) -> float:
        """The sum over all labels."""
        lines = (line.split() for line in self.get("/metrics").splitlines() if line[:1] != "#")
        return sum(float(value) for key, value in lines if key.partition("{")[0] == name)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def log(self) -> str:
        return self._log.read_text()


class Place:
    """A lake of its own, a broker file, and the processes over them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root / "lake")
        self.broker = f"sqlite:///{root}/broker.db"
        self.lake = Lake(self.uri, "mnist")
        self.services: list[Service] = []

    def samples(self) -> Samples:
        return Samples.open(self.lake)

    def publish(self) -> None:
        self.lake.models.publish(hm.pretrained("fashion-mnist"), uid="initial")

    def import_numbers(self, first: int, count: int) -> None:
        self.samples().import_dataset(
            "numbers",
            [
                ImportItem(f"old-{n}", make_png(n), "image/png", label=n % 10)
                for n in range(first, first + count)
            ],
        )

    def add_stream(self, first: int, count: int, *, data: bytes | None = None) -> None:
        """Labelled images as `collect` would have written them."""
        samples = self.samples()
        numbers = range(first, first + count)
        when = {n: EPOCH + timedelta(seconds=n) for n in numbers}
        samples.append_images(
            [ImageRow(f"new-{n}", data or make_png(n), "image/png", when[n]) for n in numbers]
        )
        samples.append_labels(
            [LabelRow(f"new-{n}", n % 10, None, when[n], f"e-{n}", when[n]) for n in numbers]
        )

    def service(self, command: str, *options: str) -> Service:
        name = f"{command}-{len(self.services)}.log"
        lake = ("--lake", self.uri, "--classifier", "mnist")
        service = Service(self.root / name, command, *lake, *options)
        self.services.append(service)
        return service

    def collect(self, *options: str) -> Service:
        return self.service("collect", "--broker", self.broker, *options)

    def serve(self, *options: str) -> "Serving":
        port = free_port()
        service = self.service("serve", "--listen", f"127.0.0.1:{port}", *options)
        return Serving(service, f"127.0.0.1:{port}")

    def end(self) -> None:
        for service in self.services:
            if service.process is not None and service.process.poll() is None:
                service.kill()


class Serving:
    """A `serve` process and where it answers calls."""

    def __init__(self, service: Service, address: str) -> None:
        self.service = service
        self.address = address

    def start(self) -> "Serving":
        self.service.start()
        return self

    def start_unfilled(self) -> "Serving":
        """Over a lake that has nothing in it, so that it cannot be healthy."""
        self.service.spawn()
        wait_until(self.service.answers, what="serve is there")
        return self


@contextlib.contextmanager
def make_place(root: Path) -> Iterator[Place]:
    place = Place(root)
    try:
        yield place
    finally:
        place.end()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An empty lake for one test."""
    with make_place(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A lake for the tests of one module."""
    with make_place(tmp_path_factory.mktemp("lake")) as made:
        yield made


@pytest.fixture(scope="session")
def image_of() -> Callable[[int], np.ndarray[Any, np.dtype[np.uint8]]]:
    """Makes the image of a number."""
    return make_image


@pytest.fixture(scope="session")
def png_of() -> Callable[[int], bytes]:
    """Makes the PNG of a number."""
    return make_png


@pytest.fixture(scope="session")
def until() -> Callable[..., None]:
    """Waits for a condition."""
    return wait_until


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """An environment without anything of ours."""
    return {key: value for key, value in os.environ.items() if not key.startswith("HEMLINE_")}
