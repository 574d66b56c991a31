"""Every process is killed with SIGKILL once while the demo runs: none of the books changes.

This runs the demo as a user does, and kills what it finds in the installation's own files.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PATIENCE = 400.0
T = TypeVar("T")


@dataclass
class Demo:
    """A demo that runs, and what it says of itself."""

    state: Path
    process: "subprocess.Popen[bytes]"
    output: Path

    def wait_for(self, what: str, read: Callable[[], T | None]) -> T:
        """The first thing that `read` finds."""
        deadline = time.monotonic() + PATIENCE
        while (found := read()) is None:
            assert self.process.poll() is None, (
                f"waiting for {what}, the demo ended:\n{self.tail()}"
            )
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.tail()}"
            time.sleep(0.1)
        return found

    def tail(self) -> str:
        return "\n".join(self.output.read_text().splitlines()[-40:])

    def installation(self) -> dict[str, Any]:
        try:
            read: dict[str, Any] = json.loads((self.state / "up.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return read

    def status(self) -> dict[str, Any]:
        """What `hemline up` says; empty while it does not answer."""
        address = self.installation().get("http")
        if address is None:
            return {}
        try:
            with urllib.request.urlopen(f"http://{address}/status", timeout=10) as reply:
                read: dict[str, Any] = json.loads(reply.read())
        except (OSError, ValueError):
            return {}
        return read

    def running(self, name: str) -> int | None:
        """Process id of a service or the trainer that runs now."""
        for process in self.status().get("processes", ()):
            if process["name"] == name and process["state"] == "running":
                return int(process["pid"])
        return None

    def kill(self, name: str) -> None:
        """Kill a child of `hemline up`, and wait for another in its place."""
        pid = self.wait_for(f"{name} to run", lambda: self.running(name))
        os.kill(pid, signal.SIGKILL)
        self.wait_for(
            f"another {name}",
            lambda: other if (other := self.running(name)) not in (None, pid) else None,
        )

    def kill_up(self) -> None:
        """Kill `hemline up` itself; the demo starts another."""
        pid = self.wait_for("hemline up", lambda: self.status() and self.installation().get("pid"))
        os.kill(pid, signal.SIGKILL)

        def another() -> int | None:
            other = self.installation().get("pid")
            return int(other) if other not in (None, pid) and self.status() else None

        self.wait_for("another hemline up", another)

    def answered(self) -> int:
        """Answers in the simulator's journal so far."""
        try:
            lines = (self.state / "books.jsonl").read_bytes().splitlines()
        except OSError:
            return 0
        return sum(line.startswith(b'["a"') for line in lines)

    def wait_for_answers(self, more: int) -> None:
        """Let the stream go on: so many answers more than there are now."""
        wanted = self.answered() + more
        self.wait_for(f"{more} more answers", lambda: True if self.answered() >= wanted else None)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    state, output = tmp_path / "demo", tmp_path / "output.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "hemline", "demo", "--plain"),
                f"--state={state}",
                "--seconds=600",
                "--drift=inversion@10s",
            ],
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        try:
            yield Demo(state, process, output)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(240)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


def test_killing_every_process_once_changes_none_of_the_books(demo: Demo) -> None:
    demo.wait_for("the first answer", lambda: True if demo.answered() else None)
    for service in ("inference", "collect", "serve"):
        demo.kill(service)
        demo.wait_for_answers(40)
    demo.kill_up()
    demo.wait_for_answers(40)
    # In the middle of its work, not at its start: so that there is something to lose.
    demo.wait_for(
        "a fine-tune to get going",
        lambda: True if (demo.status().get("fine_tune", {}).get("step") or 0) >= 20 else None,
    )
    demo.kill("trainer")

    code = demo.process.wait(PATIENCE + 900)
    assert code == 0, demo.tail()
    books = json.loads((demo.state / "books.json").read_bytes())
    assert books["problems"] == []
    assert books["unanswered"] == 0
    assert books["counted_twice"] == 0
    assert books["sent"] == books["answered"] == books["labels"] == books["scored"] > 500
    summary = (demo.state / "summary.txt").read_text()
    assert f"{books['scored']:,} images answered and labelled, 0 counted twice" in summary
    assert "The books balance and a new version went live." in summary
