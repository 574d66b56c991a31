"""`connect`: from a URL to a broker."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points

from hemline_broker._broker import Broker
from hemline_broker._claimcheck import ClaimCheck, claim_checked
from hemline_broker._driver import Driver
from hemline_broker._errors import InvalidOption
from hemline_broker._message import DEFAULT_MAX_MESSAGE_BYTES
from hemline_broker._observer import Observer
from hemline_broker._url import EXAMPLES, BrokerURL

# Other packages bring drivers by entry points of this group; see `hemline_broker.driver`.
_DRIVERS = "hemline_broker.drivers"


@asynccontextmanager
async def connect(
    url: str,
    *,
    observer: Observer | None = None,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    claim_check: ClaimCheck | str | None = None,
) -> AsyncIterator[Broker]:
    """Connect to a broker; leaving the context closes it.

    Args:
        url: `kafka://host:9092,host:9092`, `pubsub://project`, `sqlite:///relative.db`, `sqlite:////absolute.db`,
            `memory:` (private) or `memory:name` (shared by that name within this process), with options after `?`;
            or the scheme of a driver that another package brings (`hemline_broker.driver`).
        observer: receives counts for metrics.
        max_message_bytes: key + headers + body + 1 KiB of a message at most.
        claim_check: where bodies lie that the backend cannot carry: `file:///folder`, `s3://bucket/prefix` or
            `gs://bucket/prefix`. None takes the URL's option of that name, else HEMLINE_BROKER_CLAIM_CHECK; the
            option `claim_above` is `ClaimCheck.above`.

    Raises:
        InvalidOption: the URL or an option is not understood.
        Unavailable, Denied: the backend cannot be reached or refuses.
    """
    claims, rest = _claims(BrokerURL.parse(url), claim_check)
    driver = await _open(rest, max_message_bytes)
    if claims is not None:
        try:
            driver = claim_checked(driver, claims)
        except BaseException:
            await driver.close()
            raise
    broker = Broker(driver, observer or Observer(), max_message_bytes)
    try:
        yield broker
    finally:
        await broker.close()


def _claims(
    url: BrokerURL, argument: ClaimCheck | str | None
) -> tuple[ClaimCheck | None, BrokerURL]:
    """The claim check that was asked for, and the URL without its options."""
    options = dict(url.options)
    uri, above = options.pop("claim_check", None), options.pop("claim_above", None)
    rest = BrokerURL(url.scheme, url.rest, options)
    if isinstance(argument, ClaimCheck):
        return argument, rest
    place = argument or uri or os.environ.get("HEMLINE_BROKER_CLAIM_CHECK")
    if above is not None and not (place and above.isdecimal()):
        raise InvalidOption(
            f"claim_above={above!r}: expected a number of bytes, and claim_check beside it"
        )
    return ClaimCheck(place, int(above) if above else None) if place else None, rest


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
    for brought in entry_points(group=_DRIVERS, name=url.scheme):
        opened: Driver = await brought.load()(url, max_message_bytes)
        return opened
    raise InvalidOption(f"unknown scheme {url.scheme!r}; expected one of {EXAMPLES}")
