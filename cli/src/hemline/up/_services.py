"""The three services: started in order, started again when they die, ended in the reverse order."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hemline.up._children import Child, ChildBook, Spawner, is_free
from hemline.up._commands import SERVICES, Ports, service_command
from hemline.up._settings import UpSettings
from hemline_runtime import Failure

__all__ = ["Restart", "Service", "Services", "end_children", "last_words"]

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 30.0
_SETTLED: Final = 60.0
_USAGE: Final = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restart:
    """A service that died and was started again."""

    name: str
    message: str


@dataclass(slots=True)
class Service:
    """One service as it stands. Times are monotonic seconds."""

    name: str
    ports: Ports
    child: Child | None = None
    restarts: int = 0
    started_at: float = 0.0
    start_after: float = 0.0
    wait: float = _FIRST_WAIT
    healthy: bool = False
    ever_healthy: bool = False

    @property
    def state(self) -> str:
        """In one word."""
        if self.child is None:
            return "restarting"
        return "running" if self.healthy else "starting"

    @property
    def http(self) -> str:
        """``HOST:PORT`` of its endpoints."""
        return self.ports.addresses()[0]

    @property
    def listen(self) -> str | None:
        """``HOST:PORT`` of gRPC, where it has one."""
        return self.ports.addresses()[1]


class Services:
    """Keeps the services of one installation alive. Not for use by several threads.

    Args:
        settings: of the installation.
        book: where children are written down.
        spawner: starts them.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: UpSettings,
        book: ChildBook,
        spawner: Spawner,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is started yet."""
        self._settings = settings
        self._book = book
        self._spawner = spawner
        self._clock = clock
        self.all = [Service(name, book.ports(name, grpc=name == "serve")) for name in SERVICES]

    def named(self, name: str) -> Service:
        """The service of that name."""
        return next(service for service in self.all if service.name == name)

    @property
    def ready(self) -> bool:
        """Whether all of them answer."""
        return all(service.healthy for service in self.all)

    def children(self) -> Mapping[str, Child]:
        """Those that run, by name."""
        return {service.name: service.child for service in self.all if service.child is not None}

    def open(self, found: Mapping[str, Child]) -> int:
        """Take over those that an earlier ``hemline up`` left running with the same command, start the others.

        Returns:
            How many were taken over.
        """
        adopted = 0
        stale: list[Child] = []
        for service in self.all:
            child = found.get(service.name)
            if child is None:
                continue
            if child.command() == service_command(service.name, self._settings, service.ports):
                service.child = child
                service.started_at = self._clock()
                adopted += 1
                _log.info("%s goes on as process %d", service.name, child.pid)
            else:
                _log.info("%s runs with other options: starting it again", service.name)
                stale.append(child)
        end_children(stale, self._settings.stop_seconds)
        for service in self.all:
            if service.child is None:
                self._start(service)
        return adopted

    def tick(self) -> list[Restart]:
        """Start again what has died and waited long enough; return what was started.

        Raises:
            Failure: a service says that its options are wrong, so that starting it again is no use.
        """
        restarts: list[Restart] = []
        for service in self.all:
            if service.child is not None and not service.child.alive():
                self._note_death(service, service.child)
            if service.child is None and self._clock() >= service.start_after:
                service.restarts += 1
                self._start(service)
                message = f"{service.name} died and was started again (restart {service.restarts})"
                restarts.append(Restart(service.name, message))
        return restarts

    def _note_death(self, service: Service, child: Child) -> None:
        code = child.exit_code()
        log = self._settings.place.log(service.name)
        if code == _USAGE and not service.ever_healthy:
            raise Failure(f"{service.name} cannot be started: {last_words(log)}")
        if self._clock() - service.started_at > _SETTLED:
            service.wait = _FIRST_WAIT
        service.child, service.healthy = None, False
        service.start_after = self._clock() + service.wait
        _log.warning(
            "%s has ended%s; starting it again in %.1f s",
            service.name,
            "" if code is None else f" with status {code}",
            service.wait,
        )
        service.wait = min(_LONGEST_WAIT, 2 * service.wait)

    def _start(self, service: Service) -> None:
        ports = service.ports
        if not (is_free(ports.http) and (ports.listen is None or is_free(ports.listen))):
            service.ports = self._book.renew(service.name)
        command = service_command(service.name, self._settings, service.ports)
        log = self._settings.place.log(service.name)
        service.child = self._spawner.start(service.name, command, log)
        service.started_at = self._clock()
        self._book.write(self.children())


def end_children(children: Iterable[Child], seconds: float) -> None:
    """Ask each in turn to end and wait for it; kill what has not ended after ``seconds``."""
    for child in children:
        child.terminate()
        if not child.wait(seconds):
            _log.warning("process %d did not end in %.0f s: killing it", child.pid, seconds)
            child.kill()
            child.wait(seconds)


def last_words(log: Path) -> str:
    """The last line of a child's log that says something."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return f"it left no log in {log}"
    words = next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
    return f"{words.removeprefix('error: ')} (log: {log})"
