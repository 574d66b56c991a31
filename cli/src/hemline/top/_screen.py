"""Showing views: live on a terminal, as plain lines elsewhere."""

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live

from hemline.top._lines import event_line, state_line
from hemline.top._render import render
from hemline.top._view import LogLine, View

__all__ = ["Screen"]

_PLAIN_SECONDS = 5.0


class Screen(AbstractContextManager["Screen"]):
    """Takes views; as a context manager it gives the terminal back.

    Args:
        console: where to.
        plain: lines even on a terminal.
    """

    def __init__(self, console: Console, *, plain: bool) -> None:
        """Draw nothing yet."""
        self._console = console
        self._live = (
            Live(console=console, auto_refresh=False, transient=False)
            if console.is_terminal and not plain
            else None
        )
        self._last_line = -_PLAIN_SECONDS
        self._said: frozenset[LogLine] = frozenset()

    def __enter__(self) -> Self:
        """Take over the terminal's lower part."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the last view standing."""
        if self._live is not None:
            self._live.stop()

    def show(self, view: View) -> None:
        """Draw a view; as lines: each event once, and where things stand every few seconds."""
        if self._live is not None:
            self._live.update(render(view), refresh=True)
            return
        for event in view.events:
            if event not in self._said:
                self.say(event_line(event))
        self._said = frozenset(view.events)
        if time.monotonic() - self._last_line >= _PLAIN_SECONDS:
            self._last_line = time.monotonic()
            self.say(state_line(view))

    def say(self, line: str) -> None:
        """Print a line, above the live view if there is one."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
