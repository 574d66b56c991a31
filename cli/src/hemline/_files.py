"""Files that survive a kill: written whole or not at all, and one process at a time where it matters."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["AlreadyLocked", "FileLock", "write_atomic"]


class AlreadyLocked(Exception):
    """Another process holds the lock; ``holder`` is what it wrote about itself."""

    def __init__(self, path: Path, holder: str) -> None:
        """Keep who it was."""
        super().__init__(f"{path} is locked by {holder or 'another process'}")
        self.holder = holder


def write_atomic(path: Path, data: bytes) -> None:
    """Replace ``path`` so that a reader, or a restart after any kill, sees the old bytes or the new ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename in it durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileLock:
    """An exclusive lock that ends with its process, however that ends. A context manager.

    Args:
        path: the lock's file; it stays, empty or with the last holder's name.
        holder: what others read about this process.
    """

    def __init__(self, path: Path, holder: str) -> None:
        """Lock nothing yet."""
        self._path = path
        self._holder = holder
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            AlreadyLocked: another process has it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Not inherited by children (close-on-exec): they outlive this process and must not keep its lock.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise AlreadyLocked(self._path, holder) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, self._holder.encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it back."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
