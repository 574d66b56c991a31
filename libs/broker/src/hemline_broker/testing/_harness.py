"""What a driver's tests must provide, and small helpers for the behaviours."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

from hemline_broker import Broker, Delivery, Message, Subscription, connect


@dataclass(frozen=True, slots=True)
class Harness:
    """One backend to run the suite against.

    Attributes:
        url: what `connect` takes; every connection with it must see the same messages.
        patience: seconds after which something that should have happened counts as failed.
        quiet: seconds in which something that must not happen would have happened.
        restart: restarts the backend, where that can be done; its messages must survive.
        hold: seconds for which a handler keeps a message: longer than a consumer may be silent with `short_lease`.
        short_lease: options of a URL that make that time as short as the backend allows, such as `lease=10`.
    """

    url: str
    patience: float = 60.0
    quiet: float = 1.0
    restart: Callable[[], Awaitable[None]] | None = None
    hold: float = 0.5
    short_lease: str = ""

    def connect(self, **options: object) -> AbstractAsyncContextManager[Broker]:
        """A connection."""
        return connect(self.url, **options)  # type: ignore[arg-type]

    def with_options(self, options: str) -> Harness:
        """The same backend with more options in its URL."""
        mark = "&" if "?" in self.url else "?"
        return replace(self, url=f"{self.url}{mark}{options}" if options else self.url)

    @asynccontextmanager
    async def topic(
        self,
        *groups: str,
        partitions: int = 1,
        ordered: bool = False,
        **options: object,
    ) -> AsyncIterator[tuple[Broker, str]]:
        """A connection and a fresh topic with these groups."""
        async with self.connect(**options) as broker:
            name = f"t{uuid.uuid4().hex[:12]}"
            await broker.ensure(name, partitions=partitions, ordered=ordered)
            for group in groups:
                await broker.ensure(name, group)
            yield broker, name

    async def take(self, subscription: Subscription, count: int) -> list[Delivery]:
        """The next deliveries, not acknowledged."""
        taken: list[Delivery] = []
        async with asyncio.timeout(self.patience):
            async for batch in subscription.batches(count):
                taken += batch
                if len(taken) >= count:
                    break
        return taken

    async def one(self, subscription: Subscription) -> Delivery:
        """The next delivery, not acknowledged."""
        async with asyncio.timeout(self.patience):
            async for delivery in subscription:
                return delivery
        raise AssertionError("the subscription ended")

    async def first(self, subscriptions: Sequence[Subscription]) -> Delivery:
        """The next delivery that any of these gets, not acknowledged."""
        tasks = [asyncio.create_task(self.one(each)) for each in subscriptions]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def nothing(self, subscription: Subscription) -> None:
        """Fail if anything comes within the quiet time."""
        try:
            async with asyncio.timeout(self.quiet):
                async for delivery in subscription:
                    raise AssertionError(f"unexpected {delivery!r}")
        except TimeoutError:
            return

    async def rest(self, subscription: Subscription) -> list[Delivery]:
        """What still comes until nothing has come for the quiet time, not acknowledged."""
        found: list[Delivery] = []
        try:
            while True:
                async with asyncio.timeout(self.quiet):
                    async for delivery in subscription:
                        found.append(delivery)
                        break
        except TimeoutError:
            return found

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something."""
        async with asyncio.timeout(self.patience):
            while not condition():  # noqa: ASYNC110 - any condition, so nothing to wait on
                await asyncio.sleep(0.01)

    async def until_done(self, subscription: Subscription, condition: Callable[[], bool]) -> None:
        """Wait for something, and until nothing is left to acknowledge.

        Where the backend does not tell (`Capability.LAG`), `lag` counts what this consumer holds.
        """
        await self.until(condition)
        async with asyncio.timeout(self.patience):
            while await subscription.lag():  # noqa: ASYNC110 - the broker has no event for it
                await asyncio.sleep(0.05)


def numbered(count: int, start: int = 0) -> list[Message]:
    """Messages whose body is their number."""
    return [Message(str(number).encode()) for number in range(start, start + count)]


def bodies(deliveries: list[Delivery]) -> list[bytes]:
    """What was delivered."""
    return [delivery.message.data for delivery in deliveries]
