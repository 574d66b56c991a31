"""What a run must remember to be the same run after a restart."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from hemline_api.report import SnapshotRef
from hemline_trainer._errors import BadState
from hemline_trainer._options import RunOptions

__all__ = ["RunState", "WorkDirectory", "settings_of", "write_atomically"]


class RunState(BaseModel):
    """What was decided at the start: a restarted run reads it instead of deciding anew."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    uid: str
    base: int
    started_at: AwareDatetime
    snapshot: SnapshotRef
    fresh_since: SnapshotRef | None
    settings: dict[str, Any]
    """Whatever decides where the training goes; with other settings it begins anew."""


class WorkDirectory:
    """One run's own part of ``--work``; several runs may share the directory."""

    def __init__(self, work: Path, uid: str) -> None:
        """Name the places; they are made when needed.

        Raises:
            BadState: the directory cannot be made.
        """
        # A uid is the caller's text: nothing in it may lead out of the directory.
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in uid).lstrip(".") or "_"
        self._run = work / safe[:128]
        self.models = work / "models"
        self.checkpoint = self._run / "checkpoint"
        self.export = self._run / "export"
        self._state = self._run / "state.json"
        try:
            self._run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadState(
                f"--work {work}: {error.strerror}; name a directory to write to"
            ) from error

    def load(self) -> RunState | None:
        """The state that an earlier process of this run left, None when this is the first.

        Raises:
            BadState: there is one and it cannot be read.
        """
        try:
            return RunState.model_validate_json(self._state.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise BadState(
                f"{self._state} cannot be read: delete {self._run} to start anew"
            ) from error

    def save(self, state: RunState) -> None:
        """Remember the state."""
        write_atomically(self._state, state.model_dump_json(indent=2).encode())

    def forget_training(self) -> None:
        """Drop checkpoints, because they belong to other settings."""
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    def clear(self) -> None:
        """Remove what only a run that is not over needs."""
        shutil.rmtree(self._run, ignore_errors=True)


def settings_of(options: RunOptions, *, steps: int) -> dict[str, Any]:
    """What must be equal for a checkpoint to be of use."""
    return {
        "steps": steps,
        "batch_size": options.batch_size,
        "fresh_fraction": options.fresh_fraction,
        "seed": options.seed,
    }


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file: a reader sees the old content or the new, never a part.

    Raises:
        OSError: it cannot be written or replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
