"""Every Python block of the package's page runs, those of other libraries included, and its tables tell the truth."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from hemline_broker import Capability, Delivery, Message, Observer, connect
from hemline_broker.testing._backends import BACKENDS

_PAGE = (Path(__file__).parents[1] / "README.md").read_text()
_CODE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
_COMING = _PAGE[_PAGE.index("\n## Coming from") : _PAGE.index("\n## Kafka")]
_BLOCKS = _CODE.findall(_PAGE.replace(_COMING, ""))
# Library → what is written with it, and the same with ours.
_PAIRS = {
    section.partition("\n")[0]: _CODE.findall(section) for section in _COMING.split("\n### ")[1:]
}
_ENDLESS = [block for block in _BLOCKS if "SIGTERM" in block]
_PROGRAMS = [block for block in _BLOCKS if "asyncio.run(" in block and block not in _ENDLESS]
_CLASSES = [block for block in _BLOCKS if "\nclass " in f"\n{block}"]
_PARTS = [block for block in _BLOCKS if block not in (*_PROGRAMS, *_ENDLESS, *_CLASSES)]


def test_there_are_blocks() -> None:
    assert _PROGRAMS
    assert _PARTS
    assert len(_ENDLESS) == 1
    assert len(_CLASSES) == 1


@pytest.mark.parametrize("block", _PROGRAMS)
def test_programs(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout


async def test_the_service(tmp_path: Path) -> None:
    """It handles, dead-letters, and ends in order on SIGTERM."""
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _ENDLESS[0], cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with connect(f"sqlite:///{tmp_path}/broker.db") as broker:
            await broker.ensure("orders", "billing")
            await broker.ensure("orders.dead", "people")
            await broker.send_many("orders", [Message(b""), Message(b"42 apples")])
            assert service.stdout is not None
            async with asyncio.timeout(60):
                assert await service.stdout.readline() == b"billed b'42 apples'\n"
            async with broker.subscribe("orders.dead", group="people") as letters:
                async with asyncio.timeout(60):
                    letter = await anext(aiter(letters))
                assert letter.message.extensions["deadreason"] == "an empty order"
                letter.ack()
        service.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(service.wait(), 60) == 0
    finally:
        if service.returncode is None:
            service.kill()
            await service.wait()


@pytest.mark.parametrize("block", _CLASSES)
def test_classes(block: str) -> None:
    exec(compile(block, "README.md", "exec"), {"pytest": pytest})


class _Watch(Observer):
    def __init__(self) -> None:
        self.seen = asyncio.Event()

    def received(self, topic: str, messages: int, size: int) -> None:
        self.seen.set()


@pytest.mark.parametrize("block", _PARTS)
async def test_parts(block: str) -> None:
    """A part runs inside the page's program, until its subscription is closed."""
    body = textwrap.indent(block, "    ")
    names: dict[str, object] = {"Message": Message}
    exec(compile(f"async def part(broker, orders, handler):\n{body}", "README.md", "exec"), names)
    watch = _Watch()

    async def handler(delivery: Delivery) -> None: ...

    async with connect("memory:", observer=watch) as broker:
        for topic in ("orders", "bills"):
            await broker.ensure(topic, "billing")
        await broker.send("orders", Message(b"42 apples"))
        async with broker.subscribe("orders", group="billing") as orders:
            part = asyncio.create_task(names["part"](broker, orders, handler))  # type: ignore[operator]
            async with asyncio.timeout(60):
                await watch.seen.wait()
                await orders.close(drain=0.1)
                await part


# --- coming from -----------------------------------------------------------------------------------------------

_HANDLE = """
import asyncio, os
from hemline_broker import Message, connect

def handle(body):
    print(body, flush=True)
    os._exit(0)

"""
_LIBRARIES = [
    pytest.param("confluent-kafka", marks=pytest.mark.kafka),
    pytest.param("google-cloud-pubsub", marks=pytest.mark.pubsub),
    pytest.param("FastStream", marks=pytest.mark.kafka),
]


def test_pairs() -> None:
    assert list(_PAIRS) == ["confluent-kafka", "google-cloud-pubsub", "FastStream"]
    assert all(len(pair) == 2 for pair in _PAIRS.values())


@pytest.mark.parametrize("library", _LIBRARIES)
def test_what_is_left_behind(library: str, request: pytest.FixtureRequest) -> None:
    """The other library's program does what we say it does."""
    url, environment = _backend(library, request)
    topic = f"orders-{uuid.uuid4().hex[:8]}"
    asyncio.run(_ensure(url, topic))
    program = _PAIRS[library][0].replace('"orders', f'"{topic}')
    program = program.replace("localhost:9092", url.removeprefix("kafka://"))
    # It ends without leaving its group, which must not hold up the next one.
    program = program.replace('"billing"', f'"billing-{uuid.uuid4().hex[:8]}"')
    program = program.replace("my-project", "hemline-test")
    # FastStream logs to the same place.
    assert _run(_HANDLE + program, environment).splitlines()[-1] == "b'42 apples'"


@pytest.mark.parametrize("library", _LIBRARIES)
def test_what_it_becomes(library: str, request: pytest.FixtureRequest) -> None:
    """The same with ours, on the same backend."""
    url, environment = _backend(library, request)
    assert _run(_ours(library, url), environment) == "b'42 apples'\n"


@pytest.mark.parametrize("library", _PAIRS)
def test_what_it_becomes_in_memory(library: str) -> None:
    assert _run(_ours(library, "memory:"), {}) == "b'42 apples'\n"


def _ours(library: str, url: str) -> str:
    program = re.sub(r"(kafka|pubsub)://[a-z0-9:-]+", url, _PAIRS[library][1])
    program = program.replace('"orders"', f'"orders-{uuid.uuid4().hex[:8]}"')
    body = textwrap.indent(program, "    ")
    return f"{_HANDLE}async def main():\n{body}\n\nasyncio.run(main())\n"


def _backend(library: str, request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    """The URL of a real one, and what the environment must say for the other library to find it."""
    if library != "google-cloud-pubsub":
        return str(request.getfixturevalue("kafka_url")), {}
    url = str(request.getfixturevalue("pubsub_url"))
    return url, {"PUBSUB_EMULATOR_HOST": url.partition("endpoint=")[2].partition("&")[0]}


async def _ensure(url: str, topic: str) -> None:
    async with connect(url) as broker:
        await broker.ensure(topic, "billing")


def _run(program: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# --- what the page says besides ---------------------------------------------------------------------------------


def test_the_table_of_capabilities() -> None:
    table = _PAGE[_PAGE.index("| capability |") :].partition("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    names = {"Kafka": "Kafka", "Pub/Sub": "Pub/Sub", "SQLite file": "SQLite", "memory": "memory"}
    assert set(rows[0][1:]) == set(names)
    assert {row[0].split("`")[1] for row in rows[2:]} == set(Capability)
    for row in rows[2:]:
        capability = Capability(row[0].split("`")[1])
        for head, cell in zip(rows[0][1:], row[1:], strict=True):
            assert cell.startswith("yes") == (capability in BACKENDS[names[head]]), (row[0], head)


def test_the_console(tmp_path: Path) -> None:
    """The commands of the page, one after the other."""
    (block,) = re.findall(r"^```console\n(.*?)^```", _PAGE, re.M | re.S)
    commands = [line.removeprefix("$ ") for line in block.splitlines()]
    script = "\n".join(["set -eu", *commands]).replace(
        "hemline broker", f"{sys.executable} -m hemline_broker"
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "key=greeting hello" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("nothing found")
