"""Where messages go that cannot be processed: the original, plus why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hemline_broker._delivery import Delivery
from hemline_broker._driver import Driver
from hemline_broker._errors import BrokerError, Closed, NotFound
from hemline_broker._message import Message
from hemline_broker._observer import Observer

_log = logging.getLogger(__name__)

# Reason, topic and names together must stay below the reserve of 1 KiB that every message keeps free.
_REASON_BYTES = 512
_SEND_TIMEOUT_S = 30.0
_LONGEST_PAUSE_S = 30.0


def dead_letter(delivery: Delivery, reason: str) -> Message:
    """The message as it came, with `deadreason`, `deadtopic` and `deadattempt` as extensions."""
    message = delivery.message
    short = (
        " ".join(reason.split()).encode(errors="replace")[:_REASON_BYTES].decode(errors="ignore")
    )
    return message.replace(
        extensions={
            **message.extensions,
            "deadreason": short or "no reason given",
            "deadtopic": delivery.topic,
            "deadattempt": str(delivery.attempt),
        }
    )


class Undertaker:
    """Sends dead letters, and does not give up while the subscription and its broker live."""

    def __init__(self, driver: Driver, topic: str | None, observer: Observer) -> None:
        self._driver = driver
        self._topic = topic
        self._observer = observer
        self._tasks: set[asyncio.Task[None]] = set()

    async def check(self) -> None:
        """Say at the start, not at the first poisonous message, that the dead-letter topic is missing."""
        if self._topic is not None and not await self._driver.exists(self._topic):
            raise NotFound(
                f"the dead-letter topic {self._topic!r} does not exist; call ensure({self._topic!r}) first"
            )

    def take(
        self, delivery: Delivery, kind: str, reason: str, done: Callable[[Delivery, bool], None]
    ) -> None:
        """Begin; `done` is told whether the original may be acknowledged. Never, if it is cut off."""

        async def work() -> None:
            done(delivery, await self._bury(delivery, kind, reason))

        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Return when there is nothing left to do."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def cut_off(self) -> None:
        """Leave undone what is not done."""
        for task in self._tasks:
            task.cancel()
        await self.finish()

    async def _bury(self, delivery: Delivery, kind: str, reason: str) -> bool:
        if self._topic is None:
            _log.warning(
                "%s: message %s is discarded, no dead-letter topic is set: %s",
                delivery.topic, delivery.message.id, reason,
            )  # fmt: skip
            self._observer.dead(delivery.topic, kind)
            return True
        letter = dead_letter(delivery, reason)
        pause = 0.1
        while not delivery.lease.lost:
            try:
                (result,) = await self._driver.send(self._topic, [letter], _SEND_TIMEOUT_S)
                if not isinstance(result, BrokerError):
                    self._observer.dead(delivery.topic, kind)
                    return True
                problem = result
            except BrokerError as error:
                problem = error
            if isinstance(problem, Closed):
                break  # the original comes again, to a consumer whose broker is open
            _log.error(
                "%s: message %s cannot be sent to %s, trying again in %.1f s: %s",
                delivery.topic, letter.id, self._topic, pause, problem,
            )  # fmt: skip
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        return False
