"""When a failed delivery comes again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass

from hemline_broker._errors import InvalidOption


@dataclass(frozen=True, slots=True)
class Retry:
    """What a `nack`, or an exception in a handler of `run`, leads to. Means the same on every backend.

    Attributes:
        attempts: failed deliveries after which the message goes to the dead-letter topic; None never gives up.
            Deliveries to consumers that were stopped or died are not failures.
        delay: seconds before the second delivery of a message whose handler raised.
        factor: each further delay is this many times the last.
        max_delay: seconds, the longest delay.
    """

    attempts: int | None = 5
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts < 1:
            raise InvalidOption(f"Retry.attempts must be at least 1 or None, got {self.attempts}")
        if self.delay < 0 or self.max_delay < 0 or self.factor < 1:
            raise InvalidOption(
                f"Retry needs delay >= 0, max_delay >= 0 and factor >= 1, got {self.delay}, {self.max_delay}, "
                f"{self.factor}"
            )

    def exhausted(self, failures: int) -> bool:
        """Whether that many failed deliveries are enough."""
        return self.attempts is not None and failures >= self.attempts

    def delay_after(self, failures: int) -> float:
        """Seconds to wait after that many failed deliveries."""
        if self.delay == 0:
            return 0.0
        # The exponent is capped: a float power overflows long after max_delay has won.
        return min(self.delay * self.factor ** min(failures - 1, 64), self.max_delay)
