"""What the commands share: errors as one line, and a clean stop on a signal."""

import contextlib
import functools
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

import typer

from hemline_model._errors import BadSettings, ModelError

__all__ = ["one_line_errors", "stop_on_signals"]

F = TypeVar("F", bound=Callable[..., Any])

_USAGE, _FAILURE = 2, 1


def one_line_errors(command: F) -> F:
    """Turn the library's errors into one line on stderr and exit code 2 (usage) or 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except ModelError as error:
            sys.stderr.write(f"error: {error}\n")
            raise typer.Exit(_USAGE if isinstance(error, BadSettings) else _FAILURE) from error

    return wrapped  # type: ignore[return-value]


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """While inside, SIGINT and SIGTERM are noted rather than obeyed; the function given asks."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
