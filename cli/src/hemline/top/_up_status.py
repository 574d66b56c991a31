"""What the live view reads of ``hemline up``: fields it does not know are ignored, missing ones have a default.

A view must never be the reason that something cannot be watched, so reading is lenient here and nowhere else.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["CanaryStatus", "FineTuneStatus", "LifecycleEvent", "ProcessStatus", "UpStatus"]


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CanaryStatus(_Lenient):
    """A version on trial."""

    version: int
    fraction: float


class FineTuneStatus(_Lenient):
    """What the lifecycle does about training, and why."""

    state: str = "-"
    why: str = ""
    fresh: int | None = None
    due_at: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None


class VersionStatus(_Lenient):
    """One version on the newest labelled answers, as the lake has them."""

    version: int
    labelled: int = 0
    correct: int = 0


class ProcessStatus(_Lenient):
    """One process of the installation."""

    name: str
    pid: int | None = None
    state: str = "-"
    restarts: int = 0
    http: str | None = None


class LifecycleEvent(_Lenient):
    """Something that the lifecycle did."""

    at: datetime
    kind: str
    message: str = ""
    version: int | None = None


class UpStatus(_Lenient):
    """One look at ``hemline up``."""

    classifier: str = "-"
    revision: int | None = None
    live: int | None = None
    canary: CanaryStatus | None = None
    fine_tune: FineTuneStatus = Field(default_factory=FineTuneStatus)
    versions: tuple[VersionStatus, ...] = ()
    processes: tuple[ProcessStatus, ...] = ()
    events: tuple[LifecycleEvent, ...] = ()

    def process(self, name: str) -> ProcessStatus | None:
        """The process of that name."""
        return next((process for process in self.processes if process.name == name), None)
