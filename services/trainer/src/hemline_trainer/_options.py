"""What one fine-tuning run is made of."""

from dataclasses import dataclass, field
from pathlib import Path

from hemline_store import Snapshot
from hemline_trainer._gate import GateSettings

__all__ = ["RunOptions"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One run."""

    uid: str
    """Names the run: two processes with the same uid publish one version between them."""

    classifier: str

    base: int
    """Version to start from, and to be judged against."""

    work: Path
    """Checkpoints and what is fetched; outlives the process, so that another one can go on."""

    steps: int | None = None
    """Batches to train on; None: what the model library suggests."""

    batch_size: int = 128
    """Samples to a batch."""

    fresh_fraction: float = 0.5
    """Share of each batch drawn from the fresh samples; the rest comes from the whole data set. Half heals most of a
    drift and keeps the old: sampled uniformly, new samples heal next to nothing, alone they destroy the old."""

    fresh_since: Snapshot | None = None
    """Fresh are stream samples labelled after this; None: after the base version's snapshot, or all where it has
    none."""

    min_fresh: int = 32
    """Fresh training samples without which no run makes sense."""

    seed: int = 0
    """Of the order of samples and of the augmentation."""

    checkpoint_every_s: float = 10.0
    """Seconds of training between checkpoints: what a killed process loses at most."""

    max_held_out: int = 6_000
    """Held-out samples of either kind that are judged on: 6,000 tell half a point apart, and more cost time."""

    gate: GateSettings = field(default_factory=GateSettings)
