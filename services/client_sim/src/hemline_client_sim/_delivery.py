"""Sending until it is durable: what fails for a reason that passes is sent again."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from hemline_broker import Broker, BrokerError, Message, SendFailed

__all__ = ["deliver"]

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0


async def deliver(
    broker: Broker,
    topic: str,
    messages: Sequence[Message],
    on_durable: Callable[[Sequence[int]], None],
) -> None:
    """Send messages, telling ``on_durable`` the positions of those that the broker has.

    Goes on until all are sent or the caller cancels: sending one twice is harmless, since everything is keyed by
    image id.

    Raises:
        BrokerError: the broker refuses for good (no such topic, not allowed, too large).
    """
    waiting = list(range(len(messages)))
    pause = _FIRST_PAUSE
    while waiting:
        try:
            await broker.send_many(topic, [messages[place] for place in waiting])
        except SendFailed as failed:
            lost = [waiting[place] for place in failed.errors]
            problem: BrokerError = failed
        except BrokerError as error:
            lost, problem = waiting, error
        else:
            lost = []
        done = sorted(set(waiting) - set(lost))
        if done:
            on_durable(done)
            pause = _FIRST_PAUSE
        waiting = lost
        if waiting:
            if not problem.retryable:
                raise problem
            _log.warning("%s: %d messages wait: %s", topic, len(waiting), problem)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
