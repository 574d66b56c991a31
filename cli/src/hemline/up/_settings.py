"""What ``hemline up`` is told."""

from dataclasses import dataclass, field
from pathlib import Path

from hemline._place import StateDir
from hemline_operator.lifecycle import Policy

__all__ = ["GateSettings", "TrainerSettings", "UpSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What a candidate must hold against the live version; judged by the trainer."""

    max_frozen_drop: float = 0.02
    """Largest loss of accuracy on the frozen validation set."""
    max_class_drop: float = 0.15
    """Largest loss of recall for one class."""
    significance: float = 0.05
    """p-value below which a gain on the newest labels counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSettings:
    """One fine-tuning run."""

    steps: int = 250
    batch_size: int = 128
    niceness: int = 10
    """How far it steps back for the services: 0 not at all, 19 as far as it goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpSettings:
    """One local installation."""

    place: StateDir
    broker: str
    """URL of the broker."""
    lake: str
    """URI of the lake."""
    classifier: str = "mnist"
    namespace: str = ""
    model: str = "fashion-mnist"
    """What a new lake begins with: a shipped model or a directory."""
    data: str = "fashion-mnist-sample"
    """What it was trained on: a shipped data set, a path, or ``none``."""
    http: str = "127.0.0.1:0"
    """Where ``/status``, ``/metrics`` and ``/healthz`` answer."""
    threads: int = 1
    """Threads of the serving engine."""
    log_level: str = "info"
    policy: Policy = field(default_factory=Policy)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    interval: float = 0.25
    """Seconds between two looks at the children."""
    upkeep_seconds: float = 600.0
    """The lake is compacted and cleaned so often: each commit costs more with the number of files there are."""
    keep_versions: str = "6h"
    """Age up to which old versions of the tables are kept; tagged snapshots are kept for ever."""
    stop_seconds: float = 20.0
    """A child that has not ended so long after SIGTERM is killed."""

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.place.root
