"""Where a local installation keeps its files, and how other commands find a running one."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hemline._files import write_atomic
from hemline_runtime import Failure, UsageFailure

__all__ = [
    "Installation",
    "ProcessAddress",
    "StateDir",
    "StateOption",
    "find_default_state",
    "find_state",
    "require_installation",
]

_ROOT: Final = Path(".hemline")
_DEFAULT: Final = _ROOT / "up"
_POINTER: Final = _ROOT / "current"


class ProcessAddress(BaseModel):
    """Where one process can be reached."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pid: int | None = None
    http: str | None = Field(default=None, description="HOST:PORT of /metrics, /healthz, /status.")
    listen: str | None = Field(default=None, description="HOST:PORT of gRPC, where it has one.")


class Installation(BaseModel):
    """``up.json``: what a command needs to know of a local installation."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str = Field(default="starting", description="starting, ready or stopped.")
    pid: int
    broker: str
    classifier: str
    namespace: str = ""
    lake: str
    http: str | None = None
    processes: dict[str, ProcessAddress] = Field(default_factory=dict)

    @property
    def stopped(self) -> bool:
        """Whether it was ended in order."""
        return self.state == "stopped"


@dataclass(frozen=True, slots=True)
class StateDir:
    """The files of one installation."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the one ``hemline up`` that may write here."""
        return self.root / "lock"

    @property
    def broker(self) -> Path:
        """The embedded broker."""
        return self.root / "broker.db"

    @property
    def lake(self) -> Path:
        """The lake, unless another URI is given."""
        return self.root / "lake"

    @property
    def rollout(self) -> Path:
        """The rollout document that inference reads."""
        return self.root / "rollout.json"

    @property
    def lifecycle(self) -> Path:
        """The lifecycle's state, from which the rollout document can be written again."""
        return self.root / "lifecycle.json"

    @property
    def pin(self) -> Path:
        """The version that the user pinned; no file, no pin."""
        return self.root / "pin.json"

    @property
    def events(self) -> Path:
        """The decision log, one JSON object a line."""
        return self.root / "events.jsonl"

    @property
    def installation(self) -> Path:
        """Addresses for other commands."""
        return self.root / "up.json"

    @property
    def targets(self) -> Path:
        """What Prometheus scrapes here, for its ``file_sd_configs``."""
        return self.root / "prometheus.json"

    @property
    def processes(self) -> Path:
        """Children by name, with process id and creation time."""
        return self.root / "processes.json"

    @property
    def models(self) -> Path:
        """Versions fetched from the lake."""
        return self.root / "models"

    def log(self, name: str) -> Path:
        """Output of a child."""
        return self.root / "logs" / f"{name}.log"

    def fine_tune(self, uid: str) -> Path:
        """Directory of one fine-tune: checkpoints and report."""
        return self.root / "finetunes" / uid

    def report(self, uid: str) -> Path:
        """The report of one fine-tune."""
        return self.fine_tune(uid) / "report.json"

    def read_installation(self) -> Installation | None:
        """What ``hemline up`` wrote about itself; None when it never ran here.

        Raises:
            Failure: the file is there but is something else.
        """
        try:
            return Installation.model_validate_json(self.installation.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise Failure(
                f"{self.installation} is not what hemline up writes; remove it and start hemline up again"
            ) from error

    def read_pin(self) -> int | None:
        """The version that the user pinned.

        Raises:
            Failure: the file is there but is something else.
        """
        try:
            document = json.loads(self.pin.read_bytes())
            version = document["version"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(
                f'{self.pin}: expected {{"version": N}}; remove it with `hemline unpin`'
            ) from error
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise Failure(f"{self.pin}: received version {version!r}, expected a number from 1")
        return version

    def write_pin(self, version: int | None) -> None:
        """Ask for a version to be pinned, or for none."""
        if version is None:
            self.pin.unlink(missing_ok=True)
        else:
            write_atomic(self.pin, json.dumps({"version": version}).encode())

    def make_current(self) -> None:
        """Let commands find this installation without being told, if it lies below ``.hemline`` here."""
        root = self.root.resolve()
        if root.is_relative_to(_ROOT.resolve()):
            write_atomic(_POINTER, f"{root}\n".encode())


def find_default_state() -> Path:
    """Where ``hemline up`` keeps its files unless told."""
    return _DEFAULT


def find_state(given: Path | None) -> StateDir:
    """The state directory: the option, ``HEMLINE_STATE``, the one that ran here last, or ``.hemline/up``."""
    if given is not None:
        return StateDir(given)
    if named := os.environ.get("HEMLINE_STATE"):
        return StateDir(Path(named))
    try:
        return StateDir(Path(_POINTER.read_text().strip() or _DEFAULT))
    except FileNotFoundError:
        return StateDir(_DEFAULT)


def require_installation(given: Path | None) -> tuple[StateDir, Installation]:
    """The installation that a command works on.

    Raises:
        UsageFailure: there is none.
    """
    place = find_state(given)
    installation = place.read_installation()
    if installation is None:
        raise UsageFailure(
            f"no installation in {place.root}; start one with `hemline up`, or name its directory with --state"
        )
    return place, installation


StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        envvar="HEMLINE_STATE",
        help="State directory of `hemline up`; default: the one that ran here last.",
        show_default=False,
    ),
]
