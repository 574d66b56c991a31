"""The demo from start to end: `hemline up` and a simulator as processes, watched, summed up, plotted."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from hemline._place import Installation, StateDir
from hemline.demo._child import Child
from hemline.demo._commands import simulator_arguments, up_arguments
from hemline.demo._finish import finish
from hemline.demo._place import claimed
from hemline.demo._script import Progress, read_progress, why_finish
from hemline.demo._settings import DemoSettings
from hemline.demo._summary import Summary
from hemline.top import Observed, Screen, Watcher, make_view
from hemline.top._simulator import write_simulator_address
from hemline.up._children import find_marked, free_port
from hemline_client_sim import Status
from hemline_runtime import Failure

__all__ = ["run_demo"]

_READY_SECONDS = 180.0
_DRAIN_SECONDS = 30.0
_END_SECONDS = 60.0
_LOOK_SECONDS = 0.5


def run_demo(settings: DemoSettings, console: Console, *, plain: bool) -> Summary:
    """Run it, print the summary, write the plots.

    Raises:
        Failure: a process could not be started or kept alive, or the demo was interrupted before there was anything
            to sum up.
        UsageFailure: the directory cannot be used.
    """
    with claimed(settings.state), _interruptions() as interrupted:
        return _Demo(settings, console, interrupted).run(plain=plain)


class _Demo:
    def __init__(
        self, settings: DemoSettings, console: Console, interrupted: threading.Event
    ) -> None:
        self._settings = settings
        self._console = console
        self._interrupted = interrupted
        self._started = time.time()
        self._notes: list[tuple[float, str, str]] = []
        self._simulator_address: str | None = None
        self._last = Observed(now=self._started)
        self._progress = Progress()

    def run(self, *, plain: bool) -> Summary:
        settings = self._settings
        self._console.print(
            f"Starting Hemline in {settings.state}; "
            f"the stream ends within {settings.seconds:.0f} s, Ctrl-C ends it earlier.",
            highlight=False,
            soft_wrap=True,
        )
        up = Child("hemline up", "hemline", up_arguments(settings), log=settings.logs / "up.log")
        try:
            with Watcher(self._up_address, lambda: self._simulator_address) as watcher:
                with Screen(self._console, plain=plain) as screen:
                    books = self._stream(up, watcher, screen)
                summary_of = finish(
                    settings,
                    books,
                    self._progress,
                    lake_uri=self._installation().lake,
                    demo_started=self._started,
                    stop_up=lambda: up.end(_END_SECONDS),
                    console=self._console,
                )
        finally:
            up.end(_END_SECONDS)
            # Had it to be killed, its children are still there.
            for child in find_marked(settings.state).values():
                child.kill()
        return summary_of

    def _stream(self, up: Child, watcher: Watcher, screen: Screen) -> Status:
        self._until(up, watcher, screen, self._up_is_ready, _READY_SECONDS)
        address = f"127.0.0.1:{free_port()}"
        simulator = Child(
            "the simulator",
            "hemline_client_sim",
            simulator_arguments(
                self._settings,
                broker=self._installation().broker,
                http=address,
                drain=_DRAIN_SECONDS,
            ),
            log=self._settings.logs / "simulator.log",
        )
        try:
            self._simulator_address = address
            write_simulator_address(self._settings.state, address)
            began = time.time()
            while (why := self._why_end(began)) is None:
                if simulator.revive():
                    self._note("ProcessRestarted", "the simulator, it goes on with its journal")
                self._look(up, watcher, screen)
            self._note("StreamEnds", f"{why}; waiting for outstanding answers and labels")
            simulator.ask_to_end()
            deadline = time.monotonic() + _DRAIN_SECONDS + _END_SECONDS
            while simulator.code is None and time.monotonic() < deadline:
                self._look(up, watcher, screen)
        finally:
            simulator.end(_END_SECONDS)
        return self._read_books(simulator)

    def _until(
        self,
        up: Child,
        watcher: Watcher,
        screen: Screen,
        reached: Callable[[], bool],
        seconds: float,
    ) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            if self._interrupted.is_set():
                raise Failure("interrupted before the stream began")
            if time.monotonic() > deadline:
                raise Failure(
                    f"hemline up was not ready within {seconds:.0f} s; its log ends: {up.last_words()}"
                )
            self._look(up, watcher, screen)

    def _look(self, up: Child, watcher: Watcher, screen: Screen) -> None:
        began = time.monotonic()
        if up.revive():
            self._note("ProcessRestarted", "hemline up, by the demo")
        observed = watcher.look(tuple(self._notes))
        self._remember(observed)
        screen.show(make_view(self._last, title="the demo"))
        self._interrupted.wait(max(_LOOK_SECONDS - (time.monotonic() - began), 0.01))

    def _remember(self, observed: Observed) -> None:
        """Keep what was last known of a process that does not answer now."""
        before = self._last.simulator
        simulator = observed.simulator or before
        self._last = Observed(
            now=observed.now,
            up=observed.up or self._last.up,
            simulator=simulator,
            inference=observed.inference,
            lag=observed.lag,
            notes=tuple(self._notes),
        )
        if self._last.up is not None:
            self._progress = read_progress(self._last.up.events)
        if simulator is None:
            return
        if simulator.first_answer is not None and (before is None or before.first_answer is None):
            took = simulator.first_answer - self._started
            self._note("FirstAnswer", f"{took:.1f} s after the demo began")
        known = {phase.number for phase in before.phases if phase.started} if before else {0}
        for phase in simulator.phases:
            if phase.started is not None and phase.number not in known and phase.number > 0:
                self._note("Drift", f"the camera: {phase.name}")

    def _why_end(self, began: float) -> str | None:
        if self._interrupted.is_set():
            return "interrupted"
        return why_finish(
            self._progress,
            now=time.time(),
            stream_began=began,
            seconds=self._settings.seconds,
            settle=self._settings.settle,
            patience=self._settings.patience,
        )

    def _up_is_ready(self) -> bool:
        return self._last.up is not None and self._last.up.ready

    def _installation(self) -> Installation:
        installation = StateDir(self._settings.state).read_installation()
        if installation is None:
            raise Failure(f"hemline up wrote no addresses into {self._settings.state}")
        return installation

    def _up_address(self) -> str | None:
        installation = StateDir(self._settings.state).read_installation()
        return installation.http if installation else None

    def _note(self, kind: str, message: str) -> None:
        self._notes.append((time.time(), kind, message))

    def _read_books(self, simulator: Child) -> Status:
        path: Path = self._settings.books
        try:
            return Status.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise Failure(
                f"the simulator wrote no books ({path}, status {simulator.code}); its log ends: "
                f"{simulator.last_words()}"
            ) from error


@contextmanager
def _interruptions() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM or a closed terminal sets; a second Ctrl-C interrupts the hard way."""
    interrupted = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
