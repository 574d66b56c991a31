"""Child processes that outlive this one: started, found again after a restart, ended.

Every child carries a mark in its environment (the state directory and its name). A ``hemline up`` that was killed
between starting a child and writing that down finds it by the mark, so there are never two of a kind.
"""

import contextlib
import json
import logging
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from hemline._files import write_atomic
from hemline.up._commands import Ports

__all__ = ["Child", "ChildBook", "Spawner", "find_marked", "free_port", "is_free"]

_MARK: Final = "HEMLINE_CHILD_OF"
_LOG_BYTES: Final = 16 << 20
_LAST: Final = 19
_log = logging.getLogger(__name__)


class Child:
    """One process, ours or one that an earlier ``hemline up`` started."""

    def __init__(self, process: psutil.Process, own: subprocess.Popen[bytes] | None = None) -> None:
        """Take hold of it."""
        self._process = process
        self._own = own

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def created(self) -> float:
        """When it was created; with the pid it names one process for ever."""
        return float(self._process.create_time())

    @property
    def adopted(self) -> bool:
        """Whether an earlier ``hemline up`` started it."""
        return self._own is None

    def exit_code(self) -> int | None:
        """Its exit code, where it is ours and has ended."""
        return self._own.poll() if self._own is not None else None

    def alive(self) -> bool:
        """Whether it still runs. A zombie does not: nobody may be left to reap an adopted one."""
        if self._own is not None:
            return self._own.poll() is None
        try:
            return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def command(self) -> list[str]:
        """Its command line; empty when it is gone."""
        try:
            return list(self._process.cmdline())
        except psutil.Error:
            return []

    def lower_priority(self) -> None:
        """Let every other process go first."""
        with contextlib.suppress(psutil.Error):
            self._process.nice(_LAST)

    def terminate(self) -> None:
        """Ask it to end."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process.terminate()

    def kill(self) -> None:
        """End it at once, with whatever it has started."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for inner in self._process.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    inner.kill()
            self._process.kill()

    def wait(self, seconds: float) -> bool:
        """Wait for its end; return whether it has ended."""
        if self._own is not None:
            try:
                self._own.wait(seconds)
            except subprocess.TimeoutExpired:
                return False
            return True
        deadline = time.monotonic() + seconds
        # psutil's own wait takes a zombie for a running process
        while self.alive():
            if time.monotonic() > deadline:
                return False
            with contextlib.suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
                self._process.wait(min(0.1, seconds))
        return True


@dataclass(frozen=True, slots=True)
class Spawner:
    """Starts children of one installation."""

    state: Path

    def start(self, name: str, command: Sequence[str], log: Path) -> Child:
        """Start ``command`` in a session of its own, so that Ctrl-C reaches this process alone.

        Raises:
            OSError: it cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            own = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, _MARK: mark(self.state, name)},
                start_new_session=True,
            )
        return Child(psutil.Process(own.pid), own)


def mark(state: Path, name: str) -> str:
    """What the environment of a child says."""
    return f"{state.resolve()}#{name}"


def find_marked(state: Path) -> dict[str, Child]:
    """The living children of an installation by name, whoever started them."""
    found: dict[str, Child] = {}
    prefix = mark(state, "")
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            value = process.environ().get(_MARK, "")
            if not value.startswith(prefix) or process.pid == os.getpid():
                continue
            parent = process.parent()
            if parent is not None and _marked(parent) == value:
                continue  # a helper that the child itself has started
            child = Child(process)
            if child.alive():
                found[value.removeprefix(prefix)] = child
    return found


def _marked(process: psutil.Process) -> str | None:
    try:
        return str(process.environ().get(_MARK))
    except (psutil.Error, OSError):
        return None


class ChildBook:
    """``processes.json``: where each child listens. Written before a child starts, so that it keeps its ports."""

    def __init__(self, path: Path) -> None:
        """Read what is there; an unreadable book is an empty one, the marks still find every child."""
        self._path = path
        self._ports: dict[str, Ports] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            for name, entry in json.loads(path.read_bytes()).items():
                self._ports[name] = Ports(int(entry["http"]), entry.get("listen"))

    def ports(self, name: str, *, grpc: bool = False) -> Ports:
        """The ports of a child, chosen once."""
        known = self._ports.get(name)
        if known is None or (grpc and known.listen is None):
            known = self._remember(name, Ports(free_port(), free_port() if grpc else None))
        return known

    def renew(self, name: str) -> Ports:
        """Other ports for a child that is down, where somebody else has taken its own."""
        old = self._ports[name]
        http = old.http if is_free(old.http) else free_port()
        listen = old.listen
        if listen is not None and not is_free(listen):
            listen = free_port()
        return self._remember(name, Ports(http, listen))

    def write(self, running: Mapping[str, Child]) -> None:
        """Write the book, with process ids and creation times for people who look."""
        entries: dict[str, dict[str, object]] = {}
        for name, ports in self._ports.items():
            entries[name] = {"http": ports.http, "listen": ports.listen}
            if (child := running.get(name)) is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    entries[name] |= {"pid": child.pid, "created": child.created}
        write_atomic(self._path, json.dumps(entries, indent=2).encode())

    def _remember(self, name: str, ports: Ports) -> Ports:
        self._ports[name] = ports
        self.write({})
        return ports


def free_port() -> int:
    """A TCP port on the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a TCP port on the loopback can be bound."""
    with socket.socket() as probe:
        # as servers do: a connection that is still in TIME_WAIT does not make a port somebody else's
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
