"""`hemline up` as a real process on a SQLite broker, without the original data set so that it starts in seconds."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import psutil
import pytest

import hemline_model as hm
from hemline_api.events import IMAGE_TYPE, LABEL_TYPE, Label
from hemline_api.topics import Topics
from hemline_broker import Message, connect

STAND_IN = Path(__file__).parent / "stand_in"
PATIENCE = 150.0


class Up:
    """One installation and the means to look at it, feed it and kill it."""

    def __init__(self, state: Path, *, stand_in: bool = True) -> None:
        self.state = state
        self.release = state.parent / "release"
        self.environment = {**os.environ, "STAND_IN_RELEASE": str(self.release)}
        self.environment.pop("HEMLINE_STATE", None)
        if stand_in:
            self.environment["PYTHONPATH"] = str(STAND_IN)
        self.process: subprocess.Popen | None = None
        self.options = ["--data", "none", "--every", "10"]
        self.sent = 0

    # --- processes -----------------------------------------------------------------------------------------

    def start(self, *options: str, **environment: str) -> "Up":
        command = [sys.executable, "-m", "hemline", "up", "--state", str(self.state)]
        with (self.state.parent / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, *self.options, *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment | environment,
            )
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def children(self) -> dict[str, psutil.Process]:
        """Living children by name, whoever is their parent."""
        found = {}
        for process in psutil.process_iter():
            try:
                mark = process.environ().get("HEMLINE_CHILD_OF", "")
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
            except psutil.Error:
                continue
            if mark.startswith(f"{self.state.resolve()}#"):
                found[mark.rpartition("#")[2]] = process
        return found

    def clean_up(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for process in self.children().values():
            try:
                process.kill()
                process.wait(10)
            except psutil.Error:
                continue

    # --- what it shows -------------------------------------------------------------------------------------

    def log(self) -> str:
        return (self.state.parent / "up.log").read_text()

    def read(self, name: str) -> dict:
        return json.loads((self.state / name).read_text())

    def events(self) -> list[dict]:
        path = self.state / "events.jsonl"
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.events()]

    def status(self, process: str | None = None) -> dict:
        try:
            installation = self.read("up.json")
            address = installation["processes"][process] if process else installation
            with urllib.request.urlopen(f"http://{address['http']}/status", timeout=5) as reply:
                return json.load(reply)
        except (OSError, KeyError, ValueError):
            return {}

    def starts(self, uid: str) -> int:
        path = self.state / "finetunes" / uid / "starts.log"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def until(self, condition, what: str, *, running: bool = True) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if running and self.process.poll() is not None:
                pytest.fail(f"hemline up ended while waiting for {what}:\n{self.log()}")
            if time.monotonic() > deadline:
                pytest.fail(f"no {what} in {PATIENCE:.0f} s:\n{self.log()}\n{self.status()}")
            time.sleep(0.05)

    def until_event(self, kind: str, times: int = 1) -> None:
        self.until(lambda: self.kinds().count(kind) >= times, f"{kind} x{times}")

    def until_ready(self) -> None:
        self.until(lambda: self.status().get("ready"), "ready installation")

    # --- what is done to it --------------------------------------------------------------------------------

    def hemline(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "hemline", *arguments],
            env=self.environment | {"HEMLINE_STATE": str(self.state), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def feed(self, number: int, *, inverted: bool = False) -> None:
        """Send images with their true labels."""
        split = hm.dataset("fashion-mnist-sample").split("test")
        topics = Topics("mnist")
        images, labels = [], []
        for place in range(self.sent, self.sent + number):
            identity = f"fed-{place}"
            file = io.BytesIO()
            image = np.asarray(split.images[2 * place])
            np.save(file, 255 - image if inverted else image)
            images.append(
                Message(
                    file.getvalue(),
                    key=identity,
                    id=identity,
                    type=IMAGE_TYPE,
                    content_type="application/x-npy",
                )
            )
            label = Label(id=identity, label=int(split.labels[2 * place]))
            labels.append(Message(label.to_json(), key=identity, type=LABEL_TYPE))
        self.sent += number

        async def send() -> None:
            async with connect(f"sqlite:///{self.state / 'broker.db'}") as broker:
                await broker.send_many(topics.images, images)
                await broker.send_many(topics.labels, labels)

        asyncio.run(send())


@pytest.fixture
def up(tmp_path: Path):
    """An installation with a stand-in for the trainer, not started."""
    made = Up(tmp_path / "state")
    yield made
    made.clean_up()


@pytest.fixture
def real_up(tmp_path: Path):
    """An installation with the real trainer, not started."""
    made = Up(tmp_path / "state", stand_in=False)
    yield made
    made.clean_up()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One installation that runs for a whole module."""
    made = Up(tmp_path_factory.mktemp("running") / "state")
    made.options += ["--suspend"]
    made.start()
    made.until_ready()
    yield made
    made.clean_up()
