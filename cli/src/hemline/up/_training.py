"""The trainer: at most one process, for the one active fine-tune."""

import logging
from collections.abc import Mapping

from hemline.up._children import Child, ChildBook, Spawner, is_free
from hemline.up._commands import TRAINER, trainer_command
from hemline.up._services import end_children
from hemline.up._settings import UpSettings
from hemline_api import BadReport
from hemline_api.report import TrainingReport
from hemline_operator.lifecycle import FineTune

__all__ = ["Training"]

_PREFIX = f"{TRAINER}/"
_log = logging.getLogger(__name__)


class Training:
    """Starts, finds again and ends trainers, and reads what they report."""

    def __init__(self, settings: UpSettings, book: ChildBook, spawner: Spawner) -> None:
        """Nothing runs yet."""
        self._settings = settings
        self._book = book
        self._spawner = spawner
        self._child: Child | None = None
        self._complained: set[str] = set()

    @property
    def child(self) -> Child | None:
        """The trainer that runs, if any."""
        return self._child if self._child is not None and self._child.alive() else None

    @property
    def http(self) -> str:
        """``HOST:PORT`` of the trainer's endpoints."""
        return self._book.ports(TRAINER).addresses()[0]

    def open(self, found: Mapping[str, Child], active: FineTune | None) -> bool:
        """Take over the active fine-tune's trainer and end any other; return whether one was taken over."""
        wanted = f"{_PREFIX}{active.uid}" if active is not None else None
        strays = [
            child for name, child in found.items() if name.startswith(_PREFIX) and name != wanted
        ]
        end_children(strays, self._settings.stop_seconds)
        if wanted is None or wanted not in found:
            return False
        self._child = found[wanted]
        _log.info("the trainer of %s goes on as process %d", wanted, self._child.pid)
        return True

    def start(self, run: FineTune, samples: str) -> None:
        """Start a trainer, unless one runs. The start must be counted in the stored state already."""
        if self.child is not None:
            _log.error("not starting %s: process %d is still there", run.uid, self.child.pid)
            return
        ports = self._book.ports(TRAINER)
        if not is_free(ports.http):
            ports = self._book.renew(TRAINER)
        self._settings.place.fine_tune(run.uid).mkdir(parents=True, exist_ok=True)
        command = trainer_command(self._settings, run, ports, samples)
        name = f"{_PREFIX}{run.uid}"
        try:
            self._child = self._spawner.start(name, command, self._settings.place.log(run.uid))
        except OSError as error:
            # seen as a trainer that has ended: tried again with a backoff, given up after the limit
            _log.error("cannot start the trainer of %s: %s", run.uid, error)

    def stop(self) -> bool:
        """End the trainer; return whether there was one."""
        child = self.child
        if child is None:
            return False
        end_children([child], self._settings.stop_seconds)
        return True

    def report(self, uid: str) -> TrainingReport | None:
        """The report of a fine-tune; None while there is none that can be read."""
        path = self._settings.place.report(uid)
        try:
            report = TrainingReport.from_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (BadReport, OSError) as error:
            if uid not in self._complained:
                self._complained.add(uid)
                _log.error("%s cannot be used: %s", path, error)
            return None
        return report if report.uid == uid else None
