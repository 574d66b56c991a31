"""What ``hemline up`` keeps on disk: the lifecycle's state, the rollout document made from it, the decision log."""

import json
import logging
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from hemline._files import write_atomic
from hemline._place import StateDir
from hemline_api.rollout import Rollout
from hemline_operator.lifecycle import Event, State

__all__ = ["EventLog", "Journal"]

_KEPT: Final = 500
_log = logging.getLogger(__name__)


class EventLog:
    """``events.jsonl``: what was decided and why, each decision once."""

    def __init__(self, path: Path) -> None:
        """Read the newest events; a line that a kill cut short is taken off."""
        self._path = path
        self._recent: deque[Event] = deque(maxlen=_KEPT)
        self._last = 0
        self._load()

    @property
    def recent(self) -> Sequence[Event]:
        """The newest events, the newest last."""
        return tuple(self._recent)

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Add those that are not there yet, durably; return them."""
        new = [event for event in events if event.sequence > self._last]
        if not new:
            return []
        lines = "".join(
            event.model_dump_json(by_alias=True, exclude_none=True) + "\n" for event in new
        )
        with self._path.open("ab") as file:
            file.write(lines.encode())
            file.flush()
            os.fsync(file.fileno())
        self._recent.extend(new)
        self._last = new[-1].sequence
        return new

    def _load(self) -> None:
        if not self._path.exists():
            return
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            with self._path.open("r+b") as file:
                file.truncate(whole)
        for line in data[:whole].splitlines():
            try:
                event = Event.model_validate_json(line)
            except ValidationError:
                _log.warning("%s holds a line that is no event: left out", self._path)
                continue
            self._recent.append(event)
            self._last = max(self._last, event.sequence)


class Journal:
    """The lifecycle's state and all that follows from it. Only the holder of the state directory's lock may use one."""

    def __init__(self, place: StateDir) -> None:
        """Open the files of ``place``."""
        self._place = place
        self.events = EventLog(place.events)
        self._written: Rollout | None = None

    def load(self) -> State | None:
        """The stored state, with what a kill may have left undone done; None for a new installation.

        Raises:
            BadState: the file is there but is something else.
        """
        try:
            data = self._place.lifecycle.read_bytes()
        except FileNotFoundError:
            return None
        state = State.from_json(data)
        self._follow(state)
        return state

    def save(self, state: State) -> list[Event]:
        """Store the state, then make the document and the log follow it; return the events that are new."""
        # The order matters: killed in between, `load` finds the state and does the rest again.
        write_atomic(self._place.lifecycle, state.to_json())
        return self._follow(state)

    def _follow(self, state: State) -> list[Event]:
        if state.rollout != self._written:
            document = state.rollout.to_json()
            if self._read_rollout() != document:
                write_atomic(self._place.rollout, document)
            self._written = state.rollout
        if state.active is not None:
            record = self._place.fine_tune(state.active.uid) / "record.json"
            data = state.active.model_dump(mode="json", exclude_none=True)
            write_atomic(record, json.dumps(data, indent=2).encode())
        return self.events.append(state.outbox)  # last: what the log says has happened

    def _read_rollout(self) -> bytes | None:
        try:
            return self._place.rollout.read_bytes()
        except FileNotFoundError:
            return None
