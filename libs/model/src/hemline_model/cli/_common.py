"""What the commands share: errors as one line, exit codes, and a clean stop on a signal."""

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

import typer
from rich.console import Console

from hemline_model._card import Card
from hemline_model._errors import BadSettings, ModelError
from hemline_model._serving import INT8_GRAPH

__all__ = ["EXIT_CODES", "StopRequest", "conclude", "one_line_errors", "stop_on_signals"]

F = TypeVar("F", bound=Callable[..., Any])

_USAGE, _FAILURE, _SIGNAL = 2, 1, 128

EXIT_CODES = (
    "Exit codes: 0 done; 1 the data, a model or an image cannot be used; 2 a flag or setting is wrong; "
    "130 or 143 stopped by Ctrl-C or SIGTERM, to go on when the same command is run again."
)


def conclude(console: Console, card: Card) -> None:
    """Tell how good a model that was just made is."""
    images = card.data.get("images", {})
    for name, value in card.metrics.items():
        # All of five is not all of five thousand.
        split = name.removesuffix("_accuracy")
        of = f" of {images[split]:,} images" if split in images else ""
        console.print(f"{name.replace('_', ' ')}: {value:.4f}{of}", highlight=False)
    if INT8_GRAPH not in card.files:
        turned = card.parameters["int8"]
        console.print(
            f"no 8-bit graph: of {turned['images']:,} images it turned {turned['turned_wrong']:,} from "
            f"right to wrong and {turned['turned_right']:,} back",
            highlight=False,
        )


def one_line_errors(command: F) -> F:
    """Turn the library's errors into one line on stderr and exit code 2 (usage) or 1."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except ModelError as error:
            _tell(error)
            raise typer.Exit(_USAGE if isinstance(error, BadSettings) else _FAILURE) from error
        except BrokenPipeError as error:
            # Who read the output has seen enough (`| head`). What is still in a buffer would raise
            # again when the interpreter ends, so it goes nowhere.
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_SIGNAL + signal.SIGPIPE) from error
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            _tell(f"{error.strerror or error}{where}")
            raise typer.Exit(_FAILURE) from error
        except MemoryError as error:
            _tell("the memory does not suffice; expected smaller images (--size) or --batch-size")
            raise typer.Exit(_FAILURE) from error

    return wrapped  # type: ignore[return-value]


def _tell(message: object) -> None:
    sys.stderr.write(f"error: {message}\n")


class StopRequest:
    """Whether SIGINT or SIGTERM came. The first asks; a second one interrupts at once."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.number is not None:
            raise KeyboardInterrupt
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a process that was stopped by the signal exits with."""
        return _SIGNAL + (self.number or 0)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """While inside, SIGINT and SIGTERM are noted rather than obeyed; call what is given to ask."""
    request = StopRequest()
    previous = {
        number: signal.signal(number, request.note) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
