"""Claim check: what a broker cannot carry lies in an object store, and the message says where.

A driver around a driver, so that every backend has the same: `send` stores the body and sends a reference (the
CloudEvents extension `dataref`, with a checksum and the size), `subscribe` fetches it before anybody sees the message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hemline_broker._claimsink import REF, SHA256, SIZE, ClaimSink, ClaimSource
from hemline_broker._delivery import Delivery
from hemline_broker._driver import (
    Checks,
    Configuration,
    Driver,
    Limited,
    Sink,
    Source,
    Start,
    TopicInfo,
    Transacts,
)
from hemline_broker._errors import (
    BrokerError,
    InvalidMessage,
    InvalidOption,
    NotFound,
    TooLarge,
    TransactionAborted,
    Unavailable,
)
from hemline_broker._message import RESERVE_BYTES, Message, Receipt, Receipts

if TYPE_CHECKING:
    from hemline_broker._claimstore import ClaimStore, Reference

_log = logging.getLogger(__name__)

_UPLOADS = 4
# What a body may have beside it without an exact count.
_ATTRIBUTES_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """Where large bodies lie.

    Attributes:
        uri: `file:///folder`, `s3://bucket/prefix` or `gs://bucket/prefix`, the same for all who send and receive.
        above: messages of more bytes than this (key + headers + body + 1 KiB) are stored there, and all that their
            topic would refuse; None takes the most that the backend itself carries, so that on SQLite nothing is.
    """

    uri: str
    above: int | None = None

    def __post_init__(self) -> None:
        if self.above is not None and self.above < 1:
            raise InvalidOption(f"ClaimCheck.above must be at least 1, got {self.above}")


class ClaimChecked:
    """A driver that stores and fetches large bodies; see `hemline_broker._driver.Driver`."""

    def __init__(self, inner: Driver, store: ClaimStore, above: int | None) -> None:
        self._inner = inner
        self._store = store
        self.claims = store.uri
        self._above = min(above or inner.max_message_bytes, inner.max_message_bytes)
        # What topics themselves take, where they have limits of their own; asked once for each topic in use.
        self._limits: dict[str, int] = {}
        self._asking = asyncio.Lock()
        self._uploads = asyncio.Semaphore(_UPLOADS)
        self.capabilities = inner.capabilities
        # Bound only by what the caller allows: bodies of any size find room in an object store.
        self.max_message_bytes = 1 << 40

    async def send(
        self, topic: str, messages: Sequence[Message], timeout: float
    ) -> Sequence[Receipt | BrokerError]:
        """Store large bodies first; those of messages that surely were not sent are deleted again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        stored: dict[int, Reference] = {}
        changed = await self._check_in_large(topic, messages, stored, timeout)
        if changed is messages:
            return self._heed(topic, await self._inner.send(topic, messages, timeout))
        ready = [(place, each) for place, each in enumerate(changed) if isinstance(each, Message)]
        results: Sequence[Receipt | BrokerError] = ()
        try:
            if ready:
                sent = [message for _, message in ready]
                left = max(end - loop.time(), 0.001)
                results = self._heed(topic, await self._inner.send(topic, sent, left))
        except BrokerError as error:
            if not error.retryable:
                await self._discard(stored.values())
            raise
        merged: list[Receipt | BrokerError] = [
            each if isinstance(each, BrokerError) else Unavailable("not sent") for each in changed
        ]
        for (place, _), result in zip(ready, results, strict=True):
            merged[place] = result
        await self._discard(
            [
                reference
                for place, reference in stored.items()
                if isinstance(result := merged[place], BrokerError) and not result.retryable
            ]
        )
        return merged

    async def subscribe(
        self, topic: str, group: str, start: Start, sink: Sink, limits: tuple[int, int]
    ) -> Source:
        """Fetch bodies on the way."""
        fetching = ClaimSink(sink, self._store)
        return ClaimSource(
            await self._inner.subscribe(topic, group, start, fetching, limits), fetching
        )

    async def _bound(self, topic: str) -> int:
        """Bytes above which the body of a message to this topic is stored."""
        if not isinstance(self._inner, Limited):
            return self._above
        if (known := self._limits.get(topic)) is not None:
            return known
        async with self._asking:  # many sends may begin at once
            if topic not in self._limits:
                try:
                    limit = await self._inner.limit(topic)
                except NotFound:
                    return self._above  # sending says it better
                self._limits[topic] = min(limit or self._above, self._above)
            return self._limits[topic]

    def _heed(
        self, topic: str, results: Sequence[Receipt | BrokerError]
    ) -> Sequence[Receipt | BrokerError]:
        """Ask for the topic's limit again when it refuses what should have fitted: somebody has lowered it."""
        if not isinstance(results, Receipts) and any(isinstance(r, TooLarge) for r in results):
            self._limits.pop(topic, None)
        return results

    async def _check_in_large(
        self,
        topic: str,
        messages: Sequence[Message],
        stored: dict[int, Reference],
        timeout: float,
    ) -> Sequence[Message | BrokerError]:
        """The messages, large ones with a reference for a body, or with what went wrong in their place.

        `stored` gets the references by place. Returns `messages` itself when there is nothing to store.
        """
        try:
            async with asyncio.timeout(timeout):
                bound = await self._bound(topic)
                large = [place for place, each in enumerate(messages) if _is_large(each, bound)]
                if not large:
                    return messages
                changed: list[Message | BrokerError] = list(messages)
                await asyncio.gather(
                    *(self._check_in(topic, place, messages, changed, stored) for place in large)
                )
        except TimeoutError:
            raise Unavailable(
                f"the large ones of {len(messages)} messages were not stored in {self._store.uri} "
                f"within {timeout:g} s"
            ) from None
        return changed

    async def _check_in(
        self,
        topic: str,
        place: int,
        messages: Sequence[Message],
        changed: list[Message | BrokerError],
        stored: dict[int, Reference],
    ) -> None:
        message = messages[place]
        if REF in message.extensions:
            changed[place] = InvalidMessage(
                f"message {message.id[:100]!r} needs a claim check and has an extension {REF!r} of its own"
            )
            return
        try:
            async with self._uploads:
                reference = await self._store.put(topic, message.data)
        except BrokerError as error:
            changed[place] = error
            return
        stored[place] = reference
        changed[place] = message.replace(
            data=b"",
            extensions={
                **message.extensions,
                REF: reference.uri,
                SHA256: reference.sha256,
                SIZE: str(reference.size),
            },
        )

    async def _discard(self, references: Collection[Reference]) -> None:
        if not references:
            return
        try:
            await self._store.delete(list(references))
        except (BrokerError, OSError) as error:
            _log.warning("%d bodies are left to the sweep: %s", len(references), error)

    # --- what passes through ---------------------------------------------------------------------------------

    async def ensure(
        self, topic: str, group: str | None, partitions: int, start: Start, ordered: bool
    ) -> None:
        """As the driver below."""
        await self._inner.ensure(topic, group, partitions, start, ordered)

    async def forget(self, topic: str, group: str) -> None:
        """As the driver below."""
        await self._inner.forget(topic, group)

    async def exists(self, topic: str) -> bool:
        """As the driver below."""
        return await self._inner.exists(topic)

    async def topics(self, names: Collection[str] | None = None) -> Sequence[TopicInfo]:
        """As the driver below."""
        return await self._inner.topics(names)

    async def ping(self) -> None:
        """As the driver below."""
        await self._inner.ping()

    def native(self, kind: type[Any]) -> Any:
        """As the driver below."""
        return self._inner.native(kind)

    async def close(self) -> None:
        """As the driver below."""
        await self._inner.close()


class _Checking(ClaimChecked):
    """Around a driver whose settings can be read."""

    async def settings(self, topics: Collection[str] | None) -> Configuration:
        """As the driver below."""
        if not isinstance(self._inner, Checks):
            raise TypeError("made for a driver that checks")
        return await self._inner.settings(topics)


class _Transacting(ClaimChecked):
    """Around a driver with transactions."""

    async def transact(
        self,
        outputs: Mapping[str, Sequence[Message]],
        source: Source | None,
        deliveries: Sequence[Delivery],
        timeout: float,
    ) -> None:
        """Store large bodies first; those of a transaction that surely was not committed are deleted again."""
        if not isinstance(self._inner, Transacts):
            raise TypeError("made for a driver with transactions")
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        if isinstance(source, ClaimSource):
            source = source.inner
        references: list[Reference] = []
        begun = False
        try:
            checked: dict[str, Sequence[Message]] = {}
            for topic, messages in outputs.items():
                stored: dict[int, Reference] = {}
                left = max(end - loop.time(), 0.001)
                try:
                    changed = await self._check_in_large(topic, messages, stored, left)
                finally:
                    references += stored.values()
                checked[topic] = [_message(each) for each in changed]
            left = max(end - loop.time(), 0.001)
            begun = True
            await self._inner.transact(checked, source, deliveries, left)
        except BrokerError as error:
            if begun and isinstance(error, Unavailable):
                raise  # nobody knows whether it was committed
            await self._discard(references)
            if isinstance(error, Unavailable):
                raise TransactionAborted(str(error)) from error
            raise


class _CheckingTransacting(_Checking, _Transacting):
    """Around a driver with both."""


def claim_checked(driver: Driver, claims: ClaimCheck) -> Driver:
    """The driver with a claim check in front, able to do what it can do."""
    from hemline_broker._claimstore import ClaimStore

    # Protocols look at names alone: each wrapper must have the methods of its driver, and no others.
    kinds: dict[tuple[bool, bool], type[ClaimChecked]] = {
        (False, False): ClaimChecked,
        (True, False): _Checking,
        (False, True): _Transacting,
        (True, True): _CheckingTransacting,
    }
    kind = kinds[isinstance(driver, Checks), isinstance(driver, Transacts)]
    return kind(driver, ClaimStore(claims.uri), claims.above)


def _message(each: Message | BrokerError) -> Message:
    if isinstance(each, BrokerError):
        raise each
    return each


def _is_large(message: Message, bound: int) -> bool:
    if (
        len(message.data) + _ATTRIBUTES_BYTES <= bound
        and not message.headers
        and not message.extensions
    ):
        return False
    return message.encoded_size() + RESERVE_BYTES > bound
