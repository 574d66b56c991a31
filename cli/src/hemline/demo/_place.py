"""The demo's directory: fresh at each start, and never another one's."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hemline_runtime import Failure, UsageFailure

__all__ = ["claimed"]

_MARKER = "demo.lock"


@contextmanager
def claimed(state: Path) -> Iterator[None]:
    """Make the directory, or empty it of what an earlier demo left; nobody else's demo runs there meanwhile.

    Raises:
        UsageFailure: it holds something that no demo made.
        Failure: a demo runs there now, or it cannot be written.
    """
    marker = state / _MARKER
    try:
        if state.exists() and any(state.iterdir()) and not marker.is_file():
            raise UsageFailure(
                f"{state} holds something that is no demo; give --state an empty or new directory"
            )
        state.mkdir(parents=True, exist_ok=True)
        file = marker.open("a")
    except OSError as error:
        raise _unusable(state, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Failure(f"a demo runs in {state} already; end it first") from error
        try:
            for path in state.iterdir():
                if path == marker:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except OSError as error:
            raise _unusable(state, error) from error
        yield


def _unusable(state: Path, error: OSError) -> Failure:
    return Failure(f"cannot use {state} for the demo: {error.strerror or error}")
