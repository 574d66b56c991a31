"""Simulator, inference and collect as processes over Pub/Sub; inference is killed once and stopped once meanwhile."""

import json
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import hemline_model
from hemline_api.rollout import Rollout
from hemline_api.topics import Topics
from hemline_broker import connect
from hemline_client_sim import Status
from hemline_store import Lake
from hemline_store.tables import Samples

pytestmark = [pytest.mark.pubsub, pytest.mark.timeout(600)]

PATIENCE_S = 180.0
COUNT = 600


@dataclass
class Service:
    """One service; every start has the same options and port."""

    log: Path
    http: str
    arguments: list[str]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.arguments, "--http", self.http],
                stdout=log, stderr=log,
            )  # fmt: skip

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, if it is still there; how it ended."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def read(self, path: str) -> str:
        """An endpoint; empty while it does not answer or is not well."""
        try:
            with urllib.request.urlopen(f"http://{self.http}{path}", timeout=30) as reply:
                return str(reply.read().decode())
        except OSError:
            return ""

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def until(self, what: str, reached: Callable[[], object]) -> None:
        """Wait while it runs."""
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            assert self.process.poll() is None, f"waiting for {what}, it ended:\n{self.text()}"
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.text()}"
            time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a service, which is gone afterwards."""
    with ExitStack() as stack:

        def start(name: str, *arguments: str) -> Service:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                http = f"127.0.0.1:{probe.getsockname()[1]}"
            service = Service(tmp_path / f"{name}.log", http, list(arguments))
            service.start()
            stack.callback(service.end, signal.SIGKILL)
            return service

        yield start


async def test_the_loop_over_pubsub_loses_nothing(
    start: Callable[..., Service], pubsub_url: str, tmp_path: Path
) -> None:
    uri = str(tmp_path / "lake")
    lake = Lake(uri, "mnist")
    version = lake.models.publish(hemline_model.pretrained("fashion-mnist"), uid="initial")
    rollout = tmp_path / "rollout.json"
    rollout.write_bytes(Rollout(revision=1, stable=version).to_json())
    # A lease as short as an emulator allows it to be, so that a killed consumer's images come back soon.
    broker, namespace = f"{pubsub_url}&lease=5", f"e2e-{secrets.token_hex(4)}"
    topics = Topics("mnist", namespace)
    async with connect(broker) as connected:
        for topic in topics.all():
            await connected.ensure(topic)
    common = ("--broker", broker, "--classifier", "mnist", "--namespace", namespace)

    collect = start("collect", "hemline_samples", "collect", *common, "--lake", uri)
    inference = start(
        *("inference", "hemline_inference", *common, "--lake", uri),
        *("--rollout", str(rollout), "--cache", str(tmp_path / "cache")),
    )
    for service in (collect, inference):
        service.until("health", lambda service=service: service.read("/healthz"))
    books = tmp_path / "books.json"
    simulator = start(
        *("simulator", "hemline_client_sim", *common, f"--count={COUNT}", "--rate=40"),
        *("--label-delay=3", f"--drain={PATIENCE_S}", f"--books={books}", "--corrupt=0.02"),
    )

    def answered(service: Service) -> int:
        """What the simulator has got, or what this start of inference has sent."""
        return int(json.loads(service.read("/status") or "{}").get("answered", 0))

    simulator.until("answers", lambda: answered(simulator) > COUNT // 6)
    assert inference.end(signal.SIGKILL) == -signal.SIGKILL
    inference.start()
    inference.until("answers after the kill", lambda: answered(inference) > 0)
    assert inference.end(signal.SIGTERM) == 0, inference.text()
    assert simulator.process is not None and simulator.process.poll() is None, (
        f"the stream was over before it was stopped: this has shown nothing\n{simulator.text()}"
    )
    inference.start()
    assert simulator.process.wait(PATIENCE_S) == 0, simulator.text() + inference.text()

    kept = Status.model_validate_json(books.read_bytes())
    assert kept.balanced, kept.problems
    assert kept.corrupt_refused == kept.corrupt > 0
    good = COUNT - kept.corrupt
    assert (kept.sent, kept.answered, kept.labels, kept.scored) == (good,) * 4
    assert (kept.unanswered, kept.counted_twice) == (0, 0)

    # What the lake holds is what the simulator's books say.
    samples, names = Samples.open(lake), tuple(str(number) for number in range(10))

    def rows() -> tuple[int, int, int, int]:
        found = samples.summary(names, window=10 * COUNT)
        version = found.versions[0] if found.versions else None
        return (
            found.images,
            found.labelled,
            version.answered if version else 0,
            version.correct if version else 0,
        )

    wanted = (good, good, good, kept.right)
    collect.until(f"{wanted} in the lake", lambda: rows() == wanted)
    assert samples.summary(names).waiting_for_image == 0
    assert collect.end(signal.SIGTERM) == 0, collect.text()
    assert inference.end(signal.SIGTERM) == 0, inference.text()
