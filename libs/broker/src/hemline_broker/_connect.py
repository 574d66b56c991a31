"""`connect`: from a URL to a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hemline_broker._broker import Broker
from hemline_broker._driver import Driver
from hemline_broker._errors import InvalidOption
from hemline_broker._message import DEFAULT_MAX_MESSAGE_BYTES
from hemline_broker._observer import Observer
from hemline_broker._url import EXAMPLES, BrokerURL


@asynccontextmanager
async def connect(
    url: str,
    *,
    observer: Observer | None = None,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> AsyncIterator[Broker]:
    """Connect to a broker; leaving the context closes it.

    Args:
        url: `kafka://host:9092,host:9092`, `pubsub://project`, `sqlite:///relative.db`, `sqlite:////absolute.db`,
            `memory:` (private) or `memory:name` (shared by that name within this process), with options after `?`.
        observer: receives counts for metrics.
        max_message_bytes: key + headers + body + 1 KiB of a message at most.

    Raises:
        InvalidOption: the URL or an option is not understood.
        Unavailable, Denied: the backend cannot be reached or refuses.
    """
    driver = await _open(BrokerURL.parse(url), max_message_bytes)
    broker = Broker(driver, observer or Observer(), max_message_bytes)
    try:
        yield broker
    finally:
        await broker.close()


async def _open(url: BrokerURL, max_message_bytes: int) -> Driver:
    # Drivers are imported when asked for: each needs a client library that others do without.
    if url.scheme in ("sqlite", "memory"):
        from hemline_broker._sqlite import open_driver

        return await open_driver(url, max_message_bytes)
    if url.scheme == "kafka":
        from hemline_broker import _kafka

        return await _kafka.open_driver(url, max_message_bytes)
    if url.scheme == "pubsub":
        from hemline_broker import _pubsub

        return await _pubsub.open_driver(url, max_message_bytes)
    raise InvalidOption(f"unknown scheme {url.scheme!r}; expected one of {EXAMPLES}")
