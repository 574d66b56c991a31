"""Which consumers are alive: each holds a lock that the operating system lets go of when the process dies."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


class Life:
    """The lock of this consumer. Without a folder (in memory) only heartbeats tell."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._path = folder / name if folder is not None else None
        self._file: int | None = None
        if self._path is not None:
            self._file = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def end(self) -> None:
        """Let go."""
        if self._file is not None and self._path is not None:
            with suppress(FileNotFoundError):
                self._path.unlink()
            os.close(self._file)
            self._file = None


def dead(folder: Path | None, name: str) -> bool:
    """Whether the consumer of that name surely no longer runs on this machine."""
    if folder is None:
        return False
    try:
        file = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(file)


def bury(folder: Path | None, name: str) -> None:
    """Remove what a dead consumer left."""
    if folder is not None:
        with suppress(FileNotFoundError):
            (folder / name).unlink()
