"""Upkeep of the lake beside the loop: many small commits become few large files, old versions go."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

from hemline.up._children import Child, Spawner
from hemline.up._services import end_children
from hemline.up._settings import UpSettings

__all__ = ["Housekeeping"]

_NAME: Final = "upkeep"
_log = logging.getLogger(__name__)


class Housekeeping:
    """Runs `hemline lake compact` and `hemline lake clean` now and then, as processes that let others go first.

    Args:
        settings: of the installation.
        spawner: starts them.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: UpSettings,
        spawner: Spawner,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin after the first interval."""
        self._settings = settings
        self._spawner = spawner
        self._clock = clock
        self._next = clock() + settings.upkeep_seconds
        self._child: Child | None = None
        self._left: list[list[str]] = []

    def tick(self) -> None:
        """Start what is due. A run that failed is tried again the next time: upkeep is never urgent."""
        if self._child is not None:
            if self._child.alive():
                return
            if code := self._child.exit_code():
                _log.warning("upkeep of the lake ended with status %d", code)
            self._child = None
        if not self._left:
            if self._clock() < self._next:
                return
            self._next = self._clock() + self._settings.upkeep_seconds
            self._left = [["compact"], ["clean", self._settings.keep_versions]]
        where = ["--lake", self._settings.lake, "--classifier", self._settings.classifier]
        command = [sys.executable, "-m", "hemline", "lake", *self._left.pop(0), *where]
        log = self._settings.place.log(_NAME)
        try:
            self._child = self._spawner.start(_NAME, command, log)
        except OSError as error:
            _log.warning("upkeep of the lake cannot be started: %s", error)
            return
        self._child.lower_priority()

    def stop(self) -> None:
        """End what runs; a commit of the lake is whole or not at all."""
        if self._child is not None:
            end_children([self._child], self._settings.stop_seconds)
