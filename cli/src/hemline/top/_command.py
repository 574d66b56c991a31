"""The command `hemline top`."""

import signal
import threading
from typing import Annotated

import typer
from rich.console import Console

from hemline._place import StateOption, require_installation
from hemline_runtime import Failure

__all__ = ["top"]


def top(
    state: StateOption = None,
    simulator: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a simulated client's /status, to see its books too; default: the demo's, if one runs."
        ),
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the live view.")] = False,
) -> None:
    """Watch a running installation: stream, lag, live accuracy of each version, what the lifecycle does and why."""
    from hemline.top._screen import Screen
    from hemline.top._simulator import read_simulator_address
    from hemline.top._view import make_view
    from hemline.top._watcher import Watcher

    place, _ = require_installation(state)

    def up_address() -> str | None:
        installation = place.read_installation()
        return installation.http if installation else None

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with (
        Watcher(up_address, lambda: simulator or read_simulator_address(place.root)) as watcher,
        Screen(Console(), plain=plain) as screen,
    ):
        while not ended.is_set():
            observed = watcher.look()
            screen.show(make_view(observed, title=str(place.root)))
            if once and observed.up is None:
                raise Failure(f"`hemline up` in {place.root} does not answer")
            if once or ended.wait(every):
                break
