"""Predictions as lines on stdout, without ever holding up the stream."""

import queue
import sys
import threading
from collections.abc import Sequence
from typing import TextIO

__all__ = ["Console", "prediction_line"]

_WAITING_BATCHES = 64


def prediction_line(image_id: str, label_name: str, confidence: float, version: int) -> str:
    """One prediction for a person; control characters are escaped, so that it stays one line."""
    return f"{_shown(image_id)}  {_shown(label_name)}  {confidence:.3f}  v{version}"


def _shown(text: str) -> str:
    return text if text.isprintable() else text.encode("unicode_escape").decode()


class Console:
    """Writes lines on a thread of its own.

    A terminal or pipe slower than the stream loses lines, and is told how many: waiting for it would delay the
    predictions themselves.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Begin to write to ``stream``, stdout by default."""
        self._stream = stream or sys.stdout
        self._waiting: queue.Queue[Sequence[str] | None] = queue.Queue(_WAITING_BATCHES)
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._thread.start()

    def show(self, lines: Sequence[str]) -> None:
        """Print lines soon."""
        if self._lost:
            lines = [f"({self._lost:,} predictions not shown: the console is slower)", *lines]
        try:
            self._waiting.put_nowait(lines)
        except queue.Full:
            self._lost += len(lines) - (1 if self._lost else 0)
        else:
            self._lost = 0

    def close(self, timeout: float = 2.0) -> None:
        """Print what waits, within ``timeout`` seconds."""
        try:
            self._waiting.put(None, timeout=timeout)
        except queue.Full:
            return
        self._thread.join(timeout)

    def _run(self) -> None:
        gone = False
        while (lines := self._waiting.get()) is not None:
            if gone:
                continue
            try:
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                # The reader has gone (`hemline-inference --console | head`): the stream goes on without it.
                gone = True
