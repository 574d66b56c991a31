"""When to try a sample server again, and how long to go on trying."""

import threading
import time
from dataclasses import dataclass

import grpc

from hemline_trainer._errors import Interrupted, StreamRefused, TrainerError, Unreachable

__all__ = ["Patience", "as_trainer_error", "is_temporary"]

_TEMPORARY = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        # What a client sees when the server's process is killed or cancels its streams in mid-message.
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.INTERNAL,
    }
)


def is_temporary(error: grpc.RpcError) -> bool:
    """Whether the same call may succeed later, on this server or another."""
    return error.code() in _TEMPORARY


def as_trainer_error(error: grpc.RpcError, *, what: str) -> TrainerError:
    """The error of this package that says what a failed call means."""
    return StreamRefused(
        f"{what}: the sample server answered {error.code().name}: {error.details()}"
    )


@dataclass(slots=True)
class Patience:
    """Waits longer each time, up to 5 s, and gives up after ``total`` seconds without progress."""

    total: float
    stop: threading.Event
    _since: float | None = None
    _delay: float = 0.1

    def progressed(self) -> None:
        """Something arrived: the next trouble is a new one."""
        self._since, self._delay = None, 0.1

    def wait(self, error: grpc.RpcError) -> None:
        """Wait before the next attempt.

        Raises:
            Unreachable: it has been going on for too long.
            Interrupted: the run was asked to stop meanwhile.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since > self.total:
            raise Unreachable(
                f"no sample server answered for {self.total:g} s ({error.code().name}: {error.details()}); "
                "start `hemline-samples serve`, or give its address with --samples"
            ) from error
        if self.stop.wait(self._delay):
            raise Interrupted("stopped while waiting for a sample server")
        self._delay = min(5.0, 2 * self._delay)
