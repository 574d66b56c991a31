"""SQLite for bench/broker.py: a file of its own for each round."""

from __future__ import annotations

import tempfile
from functools import partial

from _broker_clients import drain, ours_send
from _broker_table import Client, Lap

from hemline_broker import connect

_URL = "sqlite:///{}/broker.db"
_GROUP = "g"


class SqliteGround:
    """See `Ground`."""

    name = "SQLite"

    async def round(self, client: Client, body: bytes, count: int) -> tuple[Lap | None, Lap | None]:
        """What is received is what was sent."""
        with tempfile.TemporaryDirectory(prefix="hemline-bench-") as folder:
            sent, received = (Lap(folder, "bench", body, count) for _ in range(2))
            async with connect(_URL.format(folder)) as broker:
                await broker.ensure("bench", _GROUP)
            if client.send is not None:
                await client.send(sent)
            if client.receive is not None:
                await client.receive(received)
        return sent, received


async def _receive(lap: Lap) -> None:
    async with connect(_URL.format(lap.address)) as broker:
        lap.start()  # joining takes no time worth leaving out
        await drain(broker, lap, _GROUP)


OURS = Client("hemline-broker", partial(ours_send, _URL, 2000, 1), _receive)
