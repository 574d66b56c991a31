"""What serves next: after a verdict, a pin, a refusal by inference. Every change is one revision more."""

from collections.abc import Collection, Mapping
from typing import Final

from hemline_api.report import TrainingReport
from hemline_api.rollout import Canary, Rollout
from hemline_operator.lifecycle._policy import CanaryPolicy
from hemline_operator.lifecycle._words import Change, EventKind, Note, Reason

__all__ = ["follow_pin", "follow_refusals", "gain_in_words", "initial_rollout", "judge"]

_FRESH: Final = "fresh"


def initial_rollout(version: int) -> Rollout:
    """The first document of a classifier: a stable version exists from the start."""
    return Rollout(revision=1, stable=version)


def judge(
    report: TrainingReport, rollout: Rollout, *, pin: int | None, canary: CanaryPolicy
) -> Change:
    """What a finished run's report changes: its version goes live, goes on trial, or is refused with a reason.

    Judging the same report again changes nothing more, so a driver that was killed in between may ask again.
    """
    version, stable = report.version, rollout.stable
    if version is not None and version in rollout.versions():
        message = f"version {version} serves already"
        return Change(
            rollout=None, kind=None, note=Note(Reason.ALREADY_LIVE, message), version=version
        )
    name = f"version {version}" if version is not None else "the candidate"
    if not report.promotable or version is None:
        reason = report.verdict.value if not report.promotable else Reason.NO_SUCH_VERSION
        why = report.reasons[0] if report.reasons else "the gate gave no reason"
        return _refused(report, stable, Note(reason, f"{name} refused: {why}"))
    if pin is not None:
        message = f"{name} refused: version {pin} is pinned"
        return _refused(report, stable, Note(Reason.PINNED, message))
    if report.base_version != stable:
        message = f"{name} refused: judged against version {report.base_version}, but version {stable} serves now"
        return _refused(report, stable, Note(Reason.BASE_CHANGED, message))
    gain = gain_in_words(report)
    if canary.fraction is not None:
        document = Rollout(
            revision=rollout.revision + 1,
            stable=stable,
            canary=Canary(version=version, fraction=canary.fraction),
        )
        message = f"{name} answers {canary.fraction:.0%} of the images on trial{gain}"
        note = Note(Reason.CANARY_ON_TRIAL, message)
        kind = EventKind.CANARY_STARTED
    else:
        document = Rollout(revision=rollout.revision + 1, stable=version)
        note = Note(Reason.PROMOTED, f"{name} went live{gain}")
        kind = EventKind.PROMOTED
    return Change(rollout=document, kind=kind, note=note, version=version, from_version=stable)


def follow_pin(
    rollout: Rollout,
    *,
    pin: int | None,
    known: Collection[int] | None,
    before: int | None = None,
) -> Change | None:
    """What a changed pin means: the pinned version serves alone, whatever was on trial.

    Taking a pin away changes nothing that serves: the lifecycle goes on from the pinned version.

    Args:
        rollout: the document in force.
        pin: the version wanted, None for none.
        known: versions in the lake; None when not known, then any version is taken (inference refuses a missing one).
        before: the pin followed so far.

    Returns:
        None when nothing changed; a ``PIN_REFUSED`` change without a document when the lake has no such version.
    """
    if pin is None:
        if before is None:
            return None
        message = (
            f"version {before} is no longer pinned and stays live until something better comes"
        )
        return Change(
            rollout=None,
            kind=EventKind.UNPINNED,
            note=Note(Reason.UNPINNED, message),
            version=rollout.stable,
        )
    in_force = rollout.stable == pin and rollout.canary is None
    if pin == before and in_force:
        return None
    if known is not None and pin not in known:
        have = ", ".join(str(version) for version in sorted(known)) or "none"
        message = f"version {pin} cannot be pinned: the lake has {have}"
        note = Note(Reason.NO_SUCH_VERSION, message)
        return Change(rollout=None, kind=EventKind.PIN_REFUSED, note=note, version=pin)
    if in_force:
        note = Note(Reason.PINNED, f"version {pin} is pinned and live already")
        return Change(rollout=None, kind=EventKind.PINNED, note=note, version=pin)
    back = pin < rollout.stable
    return Change(
        rollout=Rollout(revision=rollout.revision + 1, stable=pin),
        kind=EventKind.ROLLED_BACK if back else EventKind.PINNED,
        note=Note(
            Reason.PINNED,
            f"{'rolled back to' if back else 'went over to'} version {pin}, which is pinned",
        ),
        version=pin,
        from_version=rollout.stable,
    )


def follow_refusals(
    rollout: Rollout, *, refused: Mapping[int, str], previous: int | None
) -> Change | None:
    """What it means that inference cannot load a version of the document in force.

    Args:
        rollout: the document in force.
        refused: versions that every inference process refuses, with the reason.
        previous: the stable version before this one.

    Returns:
        None when nothing is to be done: no version of the document is refused, or there is nothing to go back to.
    """
    if rollout.canary and rollout.canary.version in refused:
        version = rollout.canary.version
        stable = rollout.stable
    elif rollout.stable in refused and previous not in (None, rollout.stable, *refused):
        version = rollout.stable
        stable = previous  # type: ignore[assignment]  # the line above has excluded None
    else:
        return None
    message = (
        f"rolled back to version {stable}: inference refuses version {version}: {refused[version]}"
    )
    return Change(
        rollout=Rollout(revision=rollout.revision + 1, stable=stable),
        kind=EventKind.ROLLED_BACK,
        note=Note(Reason.REFUSED_BY_INFERENCE, message),
        version=stable,
        from_version=version,
    )


def gain_in_words(report: TrainingReport) -> str:
    """What the newest labels say of the candidate, as an end of a sentence; empty when they were not asked."""
    for evaluation in report.evaluations:
        if evaluation.name == _FRESH and evaluation.samples:
            points = 100 * (evaluation.candidate_accuracy - evaluation.incumbent_accuracy)
            return f": {points:+.1f} points on the newest {evaluation.samples:,} held-out labels"
    return ""


def _refused(report: TrainingReport, stable: int, note: Note) -> Change:
    return Change(
        rollout=None,
        kind=EventKind.REFUSED,
        note=note,
        version=report.version,
        from_version=stable,
    )
