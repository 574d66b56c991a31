"""The emulator that other tests get: it is their own and goes without a trace; where there is none, that is said."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.pubsub

_SCRIPT = Path(__file__).with_name("pubsub.sh")
_ROOT = Path(__file__).parents[3]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _script(action: str, port: int, work: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(_SCRIPT), action, "--port", str(port), "--work", str(work)],
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_starts_and_stops_without_a_trace(pubsub_url: str, tmp_path: Path) -> None:
    # `pubsub_url` is asked for what it checks: that an emulator can be started here at all.
    port, cache = _free_port(), Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    work = cache / "hemline"
    try:
        up = _script("up", port, work)
        assert up.returncode == 0, up.stderr
        assert _listens(port)
        assert _script("status", port, work).returncode == 0
        again = _script("up", port, work)
        assert again.returncode == 1
        assert again.stderr == f"pubsub.sh: already up on port {port}\n"
        elsewhere = _script("up", port, tmp_path)
        assert elsewhere.returncode == 1
        assert elsewhere.stderr == f"pubsub.sh: port {port} is taken by another program\n"
        pid = int((work / f"pubsub-{port}" / "pid").read_text())
    finally:
        down = _script("down", port, work)
    assert down.returncode == 0, down.stderr
    assert not _listens(port)
    assert not Path(f"/proc/{pid}").exists()
    assert not (work / f"pubsub-{port}").exists()
    assert _script("status", port, work).returncode == 1
    assert _script("down", port, work).returncode == 0


def _one_test(**environment: str) -> "subprocess.CompletedProcess[str]":
    one = "libs/broker/tests/test_conformance.py::TestPubsub::test_send_and_receive"
    inherited = {k: v for k, v in os.environ.items() if k != "PUBSUB_EMULATOR_HOST"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", one],
        cwd=_ROOT, capture_output=True, text=True, timeout=150, check=False,
        env={**inherited, "CI": "true", **environment},
    )  # fmt: skip


def test_without_one_it_is_named_loudly_and_nothing_fails(tmp_path: Path) -> None:
    ran = _one_test(CLOUDSDK_ROOT_DIR=str(tmp_path))
    assert ran.returncode == 0, ran.stdout
    assert "1 skipped" in ran.stdout
    assert "NO PUB/SUB EMULATOR, nothing of Pub/Sub is tested: pubsub.sh: " in ran.stdout
    assert f"CLOUDSDK_ROOT_DIR={tmp_path}" in ran.stdout


def test_one_that_is_there_and_does_not_start_is_a_failure(tmp_path: Path) -> None:
    broken = tmp_path / "platform/pubsub-emulator/lib/cloud-pubsub-emulator-0-all.jar"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no archive")
    ran = _one_test(CLOUDSDK_ROOT_DIR=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert ran.returncode == 1, ran.stdout
    assert "the Pub/Sub emulator does not start: pubsub.sh: " in ran.stdout
