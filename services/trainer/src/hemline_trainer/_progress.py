"""Where a run stands: a bar on a terminal, lines in a log, and figures for whoever asks over HTTP."""

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from hemline_api import metrics as names
from hemline_runtime import Metrics

__all__ = ["RunProgress"]

_log = logging.getLogger(__name__)

_LINE_EVERY_S: Final = 5.0
_SMOOTHING: Final = 0.95


class RunProgress:
    """The progress of one run; ``status`` may be called from another thread."""

    def __init__(self, metrics: Metrics, *, uid: str, base: int) -> None:
        """Begin at nothing done."""
        self._step_gauge = metrics.gauge(names.TRAINER_STEP)
        self._steps_gauge = metrics.gauge(names.TRAINER_STEPS)
        self._loss_gauge = metrics.gauge(names.TRAINER_LOSS)
        self._wait_counter = metrics.counter(names.TRAINER_STREAM_WAIT)
        self._lock = threading.Lock()
        self._status: dict[str, Any] = {"uid": uid, "base": base, "phase": "starting"}
        self._loss: float | None = None
        self._said_at = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._steps = 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("loss {task.fields[loss]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def status(self) -> dict[str, Any]:
        """What ``/status`` shows."""
        with self._lock:
            return dict(self._status)

    def phase(self, name: str, message: str, **facts: object) -> None:
        """The run does something else from now on; ``facts`` are added to the status."""
        with self._lock:
            self._status |= {"phase": name, **facts}
        self._say(message)

    def begin_training(self, steps: int, *, fresh: int) -> None:
        """Training begins, or goes on, with so many steps in all and so many fresh samples."""
        self._steps = steps
        self._steps_gauge.set(steps)
        with self._lock:
            self._status |= {"phase": "training", "step": 0, "steps": steps, "fresh_samples": fresh}
        self._say(f"training {steps:,} steps, {fresh:,} samples are new")
        if self._bar is not None:
            self._task = self._bar.add_task("training", total=steps, loss="-")

    def on_step(self, step: int, loss: float) -> None:
        """A step is done; its loss is smoothed over about twenty."""
        previous = loss if self._loss is None else self._loss
        self._loss = _SMOOTHING * previous + (1 - _SMOOTHING) * loss
        self._step_gauge.set(step)
        self._loss_gauge.set(self._loss)
        with self._lock:
            self._status |= {"step": step, "loss": round(self._loss, 4)}
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=step, loss=f"{self._loss:.3f}")
        elif time.monotonic() - self._said_at > _LINE_EVERY_S or step == self._steps:
            self._say(f"step {step:,} of {self._steps:,}, loss {self._loss:.3f}")

    def on_wait(self, seconds: float) -> None:
        """Training waited for samples."""
        self._wait_counter.inc(seconds)

    def _say(self, message: str) -> None:
        self._said_at = time.monotonic()
        if self._bar is not None:
            self._bar.console.print(message, highlight=False)
        else:
            _log.info(message)
