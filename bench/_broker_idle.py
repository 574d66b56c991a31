"""A lone send at idle, again and again, in blocks that alternate with those of the raw client."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from functools import partial

from _broker_clients import RAW
from _broker_kafka import HEADERS
from _broker_table import Report
from confluent_kafka import Producer

from hemline_broker import Broker, Message, connect

_BLOCK = 25
_WARM_UPS = 50
_PAUSE_S = 0.001  # until the clients' threads sleep again
_PARTS = 5
_BODY = b"x" * 200

Send = Callable[[], Awaitable[None]]


async def idle(servers: str, topic: str, count: int, report: Report) -> None:
    """So many sends of each, one after the other, and the ratios of their medians and of their 99th percentiles.

    Both wait until the one message is confirmed, without any linger. Percentiles are of all sends; that of a fifth of
    them would hang on a handful, so the fifths only tell how far to trust it.
    """
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 0})
    async with connect(f"kafka://{servers}") as broker:
        clients = (partial(_raw, producer, topic), partial(_ours, broker, topic))
        bare: list[float] = []
        ours: list[float] = []
        for send in clients:
            for _ in range(_WARM_UPS):  # connections and topics are known by then
                await send()
        for block in range(-(-count // _BLOCK)):
            turns = [(clients[0], bare), (clients[1], ours)]
            for send, times in turns[::-1] if block % 2 else turns:
                await _block(send, times)
    for name, part in (("p50", 0.5), ("p99", 0.99)):
        mine, other = _at(ours, part), _at(bare, part)
        fifths = sorted(
            _at(a, part) / _at(b, part) for a, b in zip(_parts(ours), _parts(bare), strict=True)
        )
        report.note(
            f"a lone send at idle, {name} of {len(ours):,} each: {RAW.name} {other:.2f} ms, ours {mine:.2f} ms, "
            f"{mine / other:.2f} times (fifths of the sends: {fifths[0]:.2f} to {fifths[-1]:.2f})"
        )
        report.figure(f"broker.kafka.idle_{name}.of_raw", mine / other, "ratio")


async def _block(send: Send, times: list[float]) -> None:
    for _ in range(_BLOCK):
        await asyncio.sleep(_PAUSE_S)
        began = time.perf_counter()
        await send()
        times.append((time.perf_counter() - began) * 1000)


async def _raw(producer: Producer, topic: str) -> None:
    failed: list[object] = []

    def delivered(error: object, _: object) -> None:
        if error is not None:
            failed.append(error)

    producer.produce(topic, _BODY, "key", headers=HEADERS, on_delivery=delivered)
    producer.flush()
    if failed:
        raise RuntimeError(f"a message failed: {failed[0]}")


async def _ours(broker: Broker, topic: str) -> None:
    await broker.send(topic, Message(_BODY, key="key"))


def _at(times: list[float], part: float) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[round(part * 100) - 1]


def _parts(times: list[float]) -> list[list[float]]:
    size = len(times) // _PARTS
    return [times[start * size : (start + 1) * size] for start in range(_PARTS)]
