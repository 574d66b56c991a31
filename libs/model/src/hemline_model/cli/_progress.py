"""What a person sees while a training runs: a bar with the time left, a line after each epoch."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

__all__ = ["Watch"]

_MINUTE, _HOUR = 60, 3600
_DONE = "{task.percentage:>3.0f}% {task.fields[left]}"


class Watch:
    """Shows how far a training is, and about how long the rest takes.

    Use as a context manager; give `on_step`, `on_progress` and `on_note` to the training. A resumed
    training counts from where it goes on, so that its first leap is not taken for speed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(_DONE),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task: TaskID | None = None
        self._loss = 0.0
        self._began = (0.0, 0.0)
        self._done = 0.0

    def __enter__(self) -> "Watch":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_step(self, step: int, loss: float) -> None:
        """Take in the loss of a step."""
        self._loss = loss

    def on_progress(self, done: float) -> None:
        """Take in how much is done, from 0 to 1."""
        if self._task is None:
            self._task = self._progress.add_task("training", total=1.0, left="")
            self._began = (time.monotonic(), done)
        self._done = done
        what = f"loss {self._loss:.3f}" if done < 1 else "trained; testing and exporting"
        self._progress.update(self._task, completed=done, description=what, left=self.left())

    def on_note(self, note: Mapping[str, float]) -> None:
        """Print the line of an epoch."""
        left = self.left()
        self._console.print(
            f"epoch {note['epoch']:.0f}: loss {note['train_loss']:.4f}, validation accuracy "
            f"{note['validation_accuracy']:.4f}, {note['elapsed_s']:.0f} s{left and ', ' + left}",
            highlight=False,
        )

    def left(self) -> str:
        """About how long the rest takes, once there is something to tell it by."""
        began, done_before = self._began
        advanced = self._done - done_before
        if advanced < 0.002 or self._done >= 1:
            return ""
        seconds = (time.monotonic() - began) / advanced * (1 - self._done)
        if seconds < _MINUTE:
            return f"about {max(1, round(seconds))} s left"
        if seconds < _HOUR:
            return f"about {round(seconds / _MINUTE)} min left"
        return f"about {seconds / _HOUR:.1f} h left"
