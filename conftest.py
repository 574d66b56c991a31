"""Real servers for every package's tests: each is started once a session, and only when a test asks for it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

_SERVERS = Path(__file__).parent / "tests" / "servers"


def _missing(reason: str) -> None:
    """Without a server a test is skipped by name; in CI that would hide a hole, so there it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _free_port_pair() -> int:
    """A port whose successor is free as well."""
    for _ in range(100):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise RuntimeError("no two neighbouring ports are free")


@pytest.fixture(scope="session")
def kafka_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a broker of this session's own, which tests may restart."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            _missing(
                f"no real Kafka: {tool} is not installed (tests/servers/install.sh installs it)"
            )
    script, port = _SERVERS / "kafka" / "kafka.sh", _free_port_pair()
    up = subprocess.run(
        [script, "up", "--port", str(port)],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if up.returncode:
        _missing(f"no real Kafka: {(up.stderr or up.stdout).strip()[-500:]}")
    try:
        yield port
    finally:
        subprocess.run([script, "down", "--port", str(port)], check=False, timeout=120)


@pytest.fixture(scope="session")
def kafka_url(request: pytest.FixtureRequest) -> str:
    """A real Kafka: the one that HEMLINE_TEST_KAFKA names (host:port or URL), else this session's own."""
    given = os.environ.get("HEMLINE_TEST_KAFKA")
    if given:
        return given if "://" in given else f"kafka://{given}"
    return f"kafka://127.0.0.1:{request.getfixturevalue('kafka_port')}"


@pytest.fixture(scope="session")
def pubsub_url() -> Iterator[str]:
    """The Pub/Sub emulator: the one that PUBSUB_EMULATOR_HOST names, else this session's own."""
    given = os.environ.get("PUBSUB_EMULATOR_HOST")
    if given:
        yield f"pubsub://hemline-test?endpoint={given}"
        return
    script, port = _SERVERS / "pubsub" / "pubsub.sh", _free_port_pair()

    def run(action: str) -> subprocess.CompletedProcess[str]:
        command = [str(script), action, "--port", str(port)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    found = run("find")
    if found.returncode:
        # The one server that may be absent with CI=true: it comes with Google's Cloud SDK and from nowhere else.
        pytest.skip(
            f"NO PUB/SUB EMULATOR, nothing of Pub/Sub is tested: {found.stderr.strip()[-300:]}"
        )
    up = run("up")
    if up.returncode:
        _missing(f"the Pub/Sub emulator does not start: {up.stderr.strip()[-500:]}")
    try:
        yield f"pubsub://hemline-test?endpoint=127.0.0.1:{port}"
    finally:
        run("down")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server in a process of its own; yields its address."""
    log = tmp_path_factory.mktemp("s3") / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, stderr=output, text=True
        )
        try:
            endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(f"{endpoint}/moto-api/data.json", timeout=5).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise AssertionError(log.read_text()) from None
                    time.sleep(0.05)
            yield endpoint
        finally:
            server.terminate()
            server.wait(timeout=30)
            server.stdout.close()


_SERVER = """
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
