"""The command `hemline demo`."""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hemline.demo._settings import DemoSettings
from hemline_runtime import Failure, UsageFailure

__all__ = ["demo"]

_DEFAULTS = DemoSettings(state=Path(".hemline/demo"))


def demo(
    broker: Annotated[
        str | None,
        typer.Option(
            envvar="HEMLINE_BROKER",
            help="kafka://HOST:PORT or pubsub://PROJECT to run over; default: the embedded broker.",
        ),
    ] = None,
    state: Annotated[
        Path,
        typer.Option(
            help="Directory for everything the demo makes; a demo's earlier one is replaced."
        ),
    ] = _DEFAULTS.state,
    drift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[:AMOUNT]@TIME",
            help="What happens to the camera, and when (repeatable): inversion@20s, rotation:20@30s, blur:1.5@20s.",
        ),
    ] = None,
    rate: Annotated[float, typer.Option(help="Images per second.")] = _DEFAULTS.rate,
    label_delay: Annotated[
        float, typer.Option(min=0.0, help="Mean seconds from an image to its true label.")
    ] = _DEFAULTS.label_delay,
    every: Annotated[
        int, typer.Option(min=1, help="New labelled samples that make a fine-tune due.")
    ] = _DEFAULTS.every,
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps of a fine-tune.")
    ] = _DEFAULTS.steps,
    seconds: Annotated[
        float,
        typer.Option(
            min=10.0,
            help="The stream ends after so long; on a slow machine once a new version has been seen live.",
        ),
    ] = _DEFAULTS.seconds,
    seed: Annotated[int, typer.Option(min=0, help="Reproduces the stream.")] = _DEFAULTS.seed,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Lines instead of the live view, as when not on a terminal."),
    ] = False,
) -> None:
    """Show the whole loop on this machine, in three to five minutes.

    A stream of images is classified, the camera changes, accuracy falls, labels come back late, a new model is
    fine-tuned beside the running service, judged, and swapped in without a restart, and the accuracy returns. At the
    end: the books, the accuracy at each stage, and a plot. Exit code 0 only if the books balance and a new version
    went live.
    """
    from hemline.demo._run import run_demo
    from hemline_client_sim import Phases, SimulatorError

    drifts = tuple(drift) if drift else _DEFAULTS.drifts
    try:
        Phases.parse(drifts)
    except SimulatorError as error:
        raise UsageFailure(str(error)) from error
    if rate <= 0:
        raise UsageFailure(f"--rate: received {rate}, expected more than 0")
    settings = DemoSettings(
        state=state,
        broker=broker,
        namespace=f"demo-{secrets.token_hex(3)}" if broker else "",
        rate=rate,
        label_delay=label_delay,
        drifts=drifts,
        every=every,
        steps=steps,
        seconds=seconds,
        seed=seed,
    )
    if broker is not None:
        # Said once and at once, instead of by a process that is started again and again.
        asyncio.run(_reach(broker))
    summary = run_demo(settings, Console(), plain=plain)
    if summary.problems:
        raise Failure("; ".join(summary.problems))


async def _reach(broker: str) -> None:
    """Raise a BrokerError unless there is such a broker."""
    from hemline_broker import connect

    async with connect(broker):
        pass
