"""The gate: may the candidate go live? A pure function of what both models said of the same held-out samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline_api.report import Evaluation, Verdict
from hemline_trainer._mcnemar import exact_mcnemar, excess_p_value

__all__ = ["GateSettings", "HeldOut", "Judgement", "judge"]

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What a candidate must keep to."""

    significance: float = 0.05
    """A gain or loss counts when chance alone gives one as large with less than this probability."""

    max_frozen_drop: float = 0.02
    """Accuracy that may be lost on the frozen validation set, as a fraction: the price of adapting. A loss that
    exceeds it by no more than chance explains is let pass: a thousand samples tell a loss of 2 points from one of 3
    only now and then, and refusing at random would leave a broken model in place."""

    max_class_drop: float = 0.15
    """Recall that any one class may lose, as a fraction. As above, a loss that exceeds it by no more than chance
    explains is let pass: with a hundred samples of a class, a point is one image."""

    min_fresh_samples: int = 20
    """Held-out samples among the newest labels, at least: six more right than wrong are needed for significance."""

    min_class_samples: int = 20
    """Held-out samples of a class for its floor to be judged."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """N held-out samples: the true classes, and what each model took them for, all int64 (N,)."""

    name: str
    labels: Labels
    candidate: Labels
    incumbent: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict, why (the deciding reason first), and the figures it rests on."""

    verdict: Verdict
    reasons: tuple[str, ...]
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True, slots=True)
class _ClassChange:
    name: str
    samples: int
    change: float
    p_value: float  # of a loss beyond the floor


def judge(
    frozen: HeldOut, fresh: HeldOut, classes: Sequence[str], settings: GateSettings
) -> Judgement:
    """Compare a candidate with the incumbent.

    ``fresh`` are samples with the newest labels: there the candidate must be better, by McNemar's exact paired
    test. On ``frozen``, the validation set of the original data, it may not lose significantly more than allowed, and
    on neither may one class fall too far. Without frozen samples the newest labels decide alone, and a reason says so.
    """
    evaluations = tuple(
        _evaluate(samples, classes, settings) for samples in (frozen, fresh) if len(samples)
    )
    by_name = {evaluation.name: evaluation for evaluation in evaluations}
    told = tuple(_describe(evaluation) for evaluation in reversed(evaluations))
    if not len(frozen):
        told += ("the snapshot has no frozen validation set: judged on the newest labels alone",)
    if len(fresh) < settings.min_fresh_samples:
        reason = (
            f"only {len(fresh)} held-out samples among the newest labels, "
            f"expected at least {settings.min_fresh_samples}"
        )
        return Judgement(Verdict.NOT_ENOUGH_DATA, (reason, *told), evaluations)

    regressions = [
        *_frozen_regressions(by_name.get(frozen.name), settings),
        *_fresh_regressions(by_name[fresh.name], settings),
        *_class_regressions(frozen, classes, settings),
        *_class_regressions(fresh, classes, settings),
    ]
    if regressions:
        return Judgement(Verdict.REGRESSED, (*regressions, *told), evaluations)
    if not _significant_gain(by_name[fresh.name], settings):
        reason = (
            f"no significant gain on the {fresh.name} samples "
            f"(p = {by_name[fresh.name].p_value:.2g}, expected a gain with p < {settings.significance:g})"
        )
        return Judgement(Verdict.NOT_IMPROVED, (reason, *told), evaluations)
    return Judgement(Verdict.IMPROVED, told, evaluations)


def _evaluate(samples: HeldOut, classes: Sequence[str], settings: GateSettings) -> Evaluation:
    candidate = samples.candidate == samples.labels
    incumbent = samples.incumbent == samples.labels
    gained = int(np.count_nonzero(candidate & ~incumbent))
    lost = int(np.count_nonzero(incumbent & ~candidate))
    changes = _class_changes(samples, classes, settings)
    worst = min(changes, key=lambda change: change.change, default=None)
    return Evaluation(
        name=samples.name,
        samples=len(samples),
        candidate_accuracy=float(candidate.mean()),
        incumbent_accuracy=float(incumbent.mean()),
        only_candidate_right=gained,
        only_incumbent_right=lost,
        p_value=exact_mcnemar(gained, lost),
        worst_class=worst.name if worst else None,
        worst_class_change=worst.change if worst else None,
    )


def _class_changes(
    samples: HeldOut, classes: Sequence[str], settings: GateSettings
) -> list[_ClassChange]:
    changes = []
    for index, name in enumerate(classes):
        of_class = samples.labels == index
        count = int(np.count_nonzero(of_class))
        if count < max(1, settings.min_class_samples):
            continue
        candidate = samples.candidate[of_class] == index
        incumbent = samples.incumbent[of_class] == index
        gained = int(np.count_nonzero(candidate & ~incumbent))
        lost = int(np.count_nonzero(incumbent & ~candidate))
        excess = excess_p_value(lost, gained, count, allowed=settings.max_class_drop)
        changes.append(_ClassChange(name, count, (gained - lost) / count, excess))
    return changes


def _class_regressions(
    samples: HeldOut, classes: Sequence[str], settings: GateSettings
) -> list[str]:
    return [
        f"class {change.name} loses {_points(-change.change)} of recall on the {samples.name} samples "
        f"({change.samples} of them, p = {change.p_value:.2g}), at most {_points(settings.max_class_drop)} are allowed"
        for change in _class_changes(samples, classes, settings)
        if change.p_value < settings.significance
    ]


def _frozen_regressions(evaluation: Evaluation | None, settings: GateSettings) -> list[str]:
    if evaluation is None:
        return []
    drop = evaluation.incumbent_accuracy - evaluation.candidate_accuracy
    p_value = excess_p_value(
        evaluation.only_incumbent_right,
        evaluation.only_candidate_right,
        evaluation.samples,
        allowed=settings.max_frozen_drop,
    )
    if p_value >= settings.significance:
        return []
    return [
        f"loses {_points(drop)} on the {evaluation.name} samples, at most {_points(settings.max_frozen_drop)} "
        f"are allowed (p = {p_value:.2g})"
    ]


def _fresh_regressions(evaluation: Evaluation, settings: GateSettings) -> list[str]:
    drop = evaluation.incumbent_accuracy - evaluation.candidate_accuracy
    p_value = evaluation.p_value
    if drop <= 0 or p_value is None or p_value >= settings.significance:
        return []
    return [
        f"is significantly worse on the {evaluation.name} samples: loses {_points(drop)} (p = {p_value:.2g})"
    ]


def _significant_gain(evaluation: Evaluation, settings: GateSettings) -> bool:
    gain = evaluation.candidate_accuracy - evaluation.incumbent_accuracy
    return (
        gain > 0 and evaluation.p_value is not None and evaluation.p_value < settings.significance
    )


def _describe(evaluation: Evaluation) -> str:
    change = evaluation.candidate_accuracy - evaluation.incumbent_accuracy
    return (
        f"{evaluation.name}: {evaluation.candidate_accuracy:.1%} right, before "
        f"{evaluation.incumbent_accuracy:.1%} ({100 * change:+.1f} points on {evaluation.samples:,} samples; "
        f"{evaluation.only_candidate_right:,} gained, {evaluation.only_incumbent_right:,} lost, "
        f"p = {evaluation.p_value:.2g})"
    )


def _points(fraction: float) -> str:
    return f"{100 * fraction:.1f} points"
