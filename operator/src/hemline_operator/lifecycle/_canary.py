"""A version on trial: both versions answer under one rollout document, and late labels score both alike."""

import math
from dataclasses import dataclass
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from hemline_api.report import SnapshotRef
from hemline_api.rollout import Rollout
from hemline_operator.lifecycle._errors import BadState
from hemline_operator.lifecycle._policy import CanaryPolicy
from hemline_operator.lifecycle._words import Change, EventKind, Note, Reason

__all__ = ["CanaryMemory", "Score", "Trial", "p_worse", "weigh"]


class CanaryMemory(BaseModel):
    """What must be remembered of a trial across restarts: one small JSON object."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = Field(ge=1, description="The version on trial.")
    revision: int = Field(ge=1, description="The rollout document that began the trial.")
    began_at: AwareDatetime
    since: SnapshotRef | None = Field(
        default=None,
        description="The lake when every inference process had that document: answers after it count. "
        "None: not seen yet.",
    )

    def to_json(self) -> str:
        """The object as it is stored."""
        return self.model_dump_json(exclude_none=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            BadState: it is something else.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BadState(f"no memory of a canary: {error.errors()[0]['msg']}") from error


@dataclass(frozen=True, slots=True)
class Score:
    """How one version did on images answered since the trial began.

    Raises:
        BadState: more right answers than labelled ones.
    """

    labelled: int
    correct: int

    def __post_init__(self) -> None:
        """Check that the counts can be."""
        if not 0 <= self.correct <= self.labelled:
            raise BadState(f"a score of {self.correct} right answers out of {self.labelled}")

    @property
    def accuracy(self) -> float:
        """Share of right answers; 0 without any."""
        return self.correct / self.labelled if self.labelled else 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """Both versions under the rollout document ``revision``."""

    revision: int
    stable: Score
    canary: Score


def p_worse(stable: Score, canary: Score) -> float:
    """Chance of the canary having so few right answers if it were as good as the stable version.

    Fisher's exact test, one-sided (the lower tail of the hypergeometric distribution), which holds for small counts
    too. See R. A. Fisher, Statistical Methods for Research Workers, 1934, section 21.02.
    """
    total = stable.labelled + canary.labelled
    right = stable.correct + canary.correct
    if not stable.labelled or not canary.labelled:
        return 1.0

    def log_choose(n: int, k: int) -> float:
        return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)

    whole = log_choose(total, canary.labelled)
    fewest = max(0, canary.labelled - (total - right))
    tail = (
        math.exp(log_choose(right, k) + log_choose(total - right, canary.labelled - k) - whole)
        for k in range(fewest, canary.correct + 1)
    )
    return min(1.0, math.fsum(tail))


def weigh(rollout: Rollout, trial: Trial | None, policy: CanaryPolicy) -> Change:
    """Go on with the trial, promote the canary, or roll it back.

    The canary is promoted when both versions have ``min_labelled`` labelled answers and it is not worse by the test;
    it is rolled back when it is worse then, or plainly worse before.

    Args:
        rollout: the document in force, with a canary.
        trial: counts under that document; None or counts of another revision: not known now.
        policy: when to judge and by which p-values.

    Raises:
        BadState: the document has no canary.
    """
    if rollout.canary is None:
        raise BadState(f"revision {rollout.revision} has no canary to weigh")
    version, stable = rollout.canary.version, rollout.stable
    if trial is None or trial.revision != rollout.revision:
        message = f"version {version} is on trial beside version {stable}, no counts yet"
        return Change(rollout=None, kind=None, note=Note(Reason.CANARY_ON_TRIAL, message))
    p = p_worse(trial.stable, trial.canary)
    scores = (
        f"version {version} {_words(trial.canary)} against version {stable} {_words(trial.stable)}"
    )
    labelled = min(trial.canary.labelled, trial.stable.labelled)
    over = labelled >= policy.min_labelled
    early = trial.canary.labelled >= policy.early_labelled and p < policy.early_significance
    if early or (over and p < policy.significance):
        return Change(
            rollout=Rollout(revision=rollout.revision + 1, stable=stable),
            kind=EventKind.ROLLED_BACK,
            note=Note(Reason.CANARY_WORSE, f"rolled back: {scores}, worse with p = {p:.2g}"),
            version=stable,
            from_version=version,
        )
    if over:
        return Change(
            rollout=Rollout(revision=rollout.revision + 1, stable=version),
            kind=EventKind.PROMOTED,
            note=Note(Reason.CANARY_HELD, f"version {version} went live after its trial: {scores}"),
            version=version,
            from_version=stable,
        )
    message = f"on trial, {labelled:,} of {policy.min_labelled:,} labelled answers: {scores}"
    return Change(rollout=None, kind=None, note=Note(Reason.CANARY_ON_TRIAL, message))


def _words(score: Score) -> str:
    return f"{score.accuracy:.1%} of {score.labelled:,}"
