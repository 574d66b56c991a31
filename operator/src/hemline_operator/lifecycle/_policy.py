"""What a user wants of the lifecycle: small settings, checked when they are made."""

from dataclasses import dataclass, field
from datetime import timedelta

from hemline_operator.lifecycle._errors import BadPolicy

__all__ = ["CanaryPolicy", "Policy", "RunLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryPolicy:
    """How a version that passed the gate comes in.

    Raises:
        BadPolicy: a value is out of range.
    """

    fraction: float | None = None
    """Share of the images that the new version answers first, in (0, 1); None: it goes live at once."""

    min_labelled: int = 200
    """Labelled answers of each version under one rollout document before the trial is judged."""

    significance: float = 0.05
    """p-value (Fisher, one-sided) below which the new version counts as worse at the end of the trial."""

    early_significance: float = 0.001
    """The same before the trial is over: strict, because it is asked again and again."""

    early_labelled: int = 20
    """Labelled answers of the new version before it can be rolled back early."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.fraction is not None and not 0.0 < self.fraction < 1.0:
            raise BadPolicy(
                f"canary fraction: received {self.fraction}, expected a number between 0 and 1, "
                "or none to go live at once"
            )
        if self.min_labelled < 1 or self.early_labelled < 1:
            raise BadPolicy("canary labels: expected at least 1")
        for value in (self.significance, self.early_significance):
            if not 0.0 <= value < 1.0:
                raise BadPolicy(f"canary significance: received {value}, expected [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """How often and how long a trainer may try.

    Raises:
        BadPolicy: a value is negative.
    """

    retries: int = 3
    """Starts after the first one; the run is given up when the last of them has ended without a report."""

    deadline: timedelta = timedelta(hours=1)
    """Longest time of one start, after which the trainer is stopped."""

    backoff: timedelta = timedelta(seconds=2)
    """Wait before the second start; doubled for each further one."""

    max_backoff: timedelta = timedelta(minutes=1)
    """The longest such wait."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.retries < 0:
            raise BadPolicy(f"retries: received {self.retries}, expected 0 or more")
        if self.deadline <= timedelta(0):
            raise BadPolicy(f"deadline: received {self.deadline}, expected more than 0")
        if self.backoff < timedelta(0) or self.max_backoff < timedelta(0):
            raise BadPolicy("backoff: expected 0 or more")

    def wait_after(self, starts: int) -> timedelta:
        """How long to wait before starting again after ``starts`` starts."""
        # bounded, because timedelta overflows long before a retry limit is reached
        doubled: int = 1 << min(max(starts - 1, 0), 20)
        return min(self.max_backoff, self.backoff * doubled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """When a new model is made, and how it comes in.

    Raises:
        BadPolicy: a value is negative.
    """

    every: int = 1000
    """Labelled samples from the stream since the snapshot of the last attempt (0: at once, for a single run)."""

    cooldown: timedelta = timedelta(0)
    """Shortest time from the end of one run to the start of the next."""

    suspended: bool = False
    """Nothing is started while this holds; what runs goes on."""

    canary: CanaryPolicy = field(default_factory=CanaryPolicy)
    """How a version that passed the gate comes in."""

    limits: RunLimits = field(default_factory=RunLimits)
    """How often and how long a trainer may try."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.every < 0:
            raise BadPolicy(f"every: received {self.every}, expected 0 or more labelled samples")
        if self.cooldown < timedelta(0):
            raise BadPolicy(f"cooldown: received {self.cooldown}, expected 0 or more")
