"""The shipped suite, unchanged, on every backend."""

from __future__ import annotations

import asyncio
import os
import subprocess
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hemline_broker import connect
from hemline_broker.testing import Conformance, Harness

_KAFKA_SH = Path(__file__).parents[3] / "tests" / "servers" / "kafka" / "kafka.sh"


class TestMemory(Conformance):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[Harness]:
        url = f"memory:{uuid.uuid4().hex}"
        # The database lives as long as one connection to it does.
        async with connect(url):
            yield Harness(url, quiet=0.2, hold=5.0, short_lease="lease=4")


class TestSqlite(Conformance):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        url = f"sqlite:///{tmp_path}/broker.db"
        return Harness(url, quiet=0.3, hold=5.0, short_lease="lease=4")


@pytest.mark.kafka
@pytest.mark.timeout(400)
class TestKafka(Conformance):
    @pytest.fixture
    def harness(self, kafka_url: str, request: pytest.FixtureRequest) -> Harness:
        async def restart() -> None:
            port = str(request.getfixturevalue("kafka_port"))
            await asyncio.to_thread(
                subprocess.run, [_KAFKA_SH, "restart", "--kill", "--port", port], check=True
            )

        return Harness(
            kafka_url,
            patience=90.0,
            # Another's broker is not ours to restart.
            restart=None if os.environ.get("HEMLINE_TEST_KAFKA") else restart,
            hold=8.0,
            short_lease="session_ms=6000&max_poll_ms=6000",
        )


@pytest.mark.pubsub
class TestPubsub(Conformance):
    @pytest.fixture
    def harness(self, pubsub_url: str, tmp_path: Path) -> Harness:
        # Pub/Sub carries 10 MB: the suite's largest messages need a claim check.
        claims = (tmp_path / "claims").as_uri()
        return Harness(f"{pubsub_url}&claim_check={claims}", hold=10.0, short_lease="lease=8")
