"""Every Python block of the package's page runs."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hemline_broker import Delivery, Message, Observer, connect

_BLOCKS = re.findall(
    r"^```python\n(.*?)^```", (Path(__file__).parents[1] / "README.md").read_text(), re.M | re.S
)
_PROGRAMS = [block for block in _BLOCKS if "asyncio.run(" in block]
_CLASSES = [block for block in _BLOCKS if block not in _PROGRAMS and "\nclass " in f"\n{block}"]
_PARTS = [block for block in _BLOCKS if block not in _PROGRAMS and block not in _CLASSES]


def test_there_are_blocks() -> None:
    assert _PROGRAMS
    assert _PARTS


@pytest.mark.parametrize("block", _PROGRAMS)
def test_programs(block: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout


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
