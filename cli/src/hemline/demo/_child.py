"""A process that the demo starts, starts again when it dies, and ends."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hemline_runtime import Failure

__all__ = ["Child"]

_MOST_RESTARTS = 5
_LAST_LINES = 5


class Child:
    """One process in a session of its own, so that Ctrl-C reaches the demo alone and the demo ends it in order.

    Args:
        name: for people.
        module: what `python -m` runs.
        arguments: its options; the same at each start.
        log: where its output goes, appended.
        environment: on top of this process's own.
    """

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it."""
        self.name = name
        self.restarts = 0
        self._command = [sys.executable, "-m", module, *arguments]
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Of the process that runs now, or ran last."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit status; None while it runs; negative: the signal that killed it."""
        return self._process.poll()

    def revive(self) -> bool:
        """Start it again if it was killed or has failed; return whether it was.

        Raises:
            Failure: it died too often, or said that its options are wrong.
        """
        code = self.code
        if code is None or code == 0:
            return False
        if code == 2 or self.restarts >= _MOST_RESTARTS:
            raise Failure(
                f"{self.name} ended with status {code} after {self.restarts} restarts; its log {self._log} ends: "
                f"{self.last_words()}"
            )
        self.restarts += 1
        self._process = self._start()
        return True

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float) -> int | None:
        """Wait for its end; the exit status, or None when it still runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self, seconds: float) -> int:
        """End it: SIGTERM, and SIGKILL when that did not do in time."""
        self.ask_to_end()
        code = self.wait(seconds)
        if code is None:
            self._process.kill()
            code = self._process.wait()
        return code

    def last_words(self) -> str:
        """The end of its log."""
        try:
            lines = self._log.read_text(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return " / ".join(lines[-_LAST_LINES:]) or "(empty)"

    def _start(self) -> subprocess.Popen[bytes]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as output:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
