"""How a command of the command line runs, and how it ends: one line on stderr and an exit code."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import typer

from hemline_broker._broker import Broker
from hemline_broker._cli_text import one_line
from hemline_broker._connect import connect
from hemline_broker._errors import BrokerError, InvalidMessage, InvalidOption

__all__ = ["existing", "finish", "read", "with_broker", "wrong"]

_ADVICE = re.compile(r"call ensure\('(.*?)'\) first")


def existing(url: str) -> str:
    """The URL for a command that needs what is there: a mistyped file must be an error, not a new and empty broker."""
    scheme, _, rest = url.partition(":")
    if scheme.lower() != "sqlite" or "create=" in rest.partition("?")[2]:
        return url
    return f"{url}{'&' if '?' in rest else '?'}create=no"


def with_broker(url: str, work: Callable[[Broker], Awaitable[None]]) -> None:
    """Connect, work, and end as `finish` does."""

    async def connected() -> None:
        async with connect(url) as broker:
            await work(broker)

    finish(connected)


def finish(work: Callable[[], Awaitable[None]]) -> None:
    """Do it, and end with what went wrong as one line and an exit code."""
    # A client that cannot reach its broker logs a line for each of hundreds of attempts; the error says it once.
    logging.getLogger("hemline_broker").addHandler(logging.NullHandler())
    terminated = False

    async def terminable() -> None:
        task = asyncio.current_task()

        def terminate() -> None:
            nonlocal terminated
            terminated = True
            if task is not None:
                task.cancel()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
        await work()

    try:
        asyncio.run(terminable())
    except BrokerError as error:
        typer.echo(f"error: {_for_the_command_line(error)}", err=True)
        raise typer.Exit(2 if isinstance(error, InvalidOption | InvalidMessage) else 1) from error
    except (ImportError, _Unreadable) as error:
        raise wrong(error) from error
    except KeyboardInterrupt:
        raise typer.Exit(128 + signal.SIGINT) from None
    except asyncio.CancelledError:
        if not terminated:
            raise
        raise typer.Exit(128 + signal.SIGTERM) from None


def _for_the_command_line(error: BrokerError) -> str:
    # The library's advice is a call; here it is a command.
    return _ADVICE.sub(r"make it with: hemline broker ensure URL \1", one_line(error))


class _Unreadable(Exception):
    """A file that cannot be read."""


def read(path: Path) -> bytes:
    """A file's bytes; one that cannot be read ends the command."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _Unreadable(f"{path}: {error.strerror}") from error


def wrong(error: Exception) -> typer.Exit:
    """Say what the user did wrong; to be raised."""
    typer.echo(f"error: {one_line(error)}", err=True)
    return typer.Exit(2)
