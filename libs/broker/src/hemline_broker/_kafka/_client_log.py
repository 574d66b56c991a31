"""What librdkafka's clients write to the log, once and not at every attempt.

A client that cannot reach a broker says so each time that it tries, and a connection has several clients: while a
broker restarts that would be dozens of lines a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["Once", "client_log"]

_NAME = "hemline_broker.kafka"
_QUIET_S = 60.0
_MOST_LINES = 100
_VARIES = (
    " (after "  # how long the attempt took, and how many like it the client itself has left out
)


class Once(logging.Filter):
    """Lets a line through and holds back its like for a while; the next one then says how many there were.

    Lines are alike when kind and text are, whichever client wrote them. The latest hundred are remembered.
    """

    def __init__(
        self, seconds: float = _QUIET_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write this line."""
        if not isinstance(record.args, tuple) or len(record.args) != 3:
            return True
        facility, _, text = map(str, record.args)
        line = (facility, text.partition(_VARIES)[0])
        now = self._clock()
        with self._lock:
            since, held = self._lines.pop(line, (now, -1))
            if held >= 0 and now - since < self._seconds:
                self._lines[line] = (since, held + 1)
                return False
            self._lines[line] = (now, 0)
            while len(self._lines) > _MOST_LINES:
                del self._lines[next(iter(self._lines))]
        if held > 0:
            record.msg = f"{record.msg} [and %d like it in the last %.0f s]"
            record.args = (*record.args, held, now - since)
        return True


def client_log() -> logging.Logger:
    """The logger of every client."""
    log = logging.getLogger(_NAME)
    if not any(isinstance(each, Once) for each in log.filters):
        log.addFilter(Once())
    return log
