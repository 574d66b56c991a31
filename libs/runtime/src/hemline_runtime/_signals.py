"""Ending well: SIGTERM and SIGINT become an event that a service waits for."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["stop_event"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@asynccontextmanager
async def stop_event() -> AsyncIterator[asyncio.Event]:
    """An event that the first SIGTERM or SIGINT sets.

    The second one takes the signal's ordinary effect, so that a drain that takes too long can be cut short.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        stop.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
