from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from hemline_api.report import Evaluation, SnapshotRef, TrainingReport, Verdict
from hemline_api.rollout import Canary, Rollout
from hemline_operator.lifecycle import (
    BadState,
    CanaryMemory,
    CanaryPolicy,
    EventKind,
    Reason,
    Score,
    Trial,
    follow_pin,
    follow_refusals,
    initial_rollout,
    judge,
    p_worse,
    weigh,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
AT_ONCE = CanaryPolicy()
TRIAL = CanaryPolicy(fraction=0.1)
LIVE = Rollout(revision=4, stable=7)
ON_TRIAL = Rollout(revision=5, stable=7, canary=Canary(version=8, fraction=0.1))


def report(
    *, version: int | None = 8, base: int = 7, verdict: Verdict = Verdict.IMPROVED
) -> TrainingReport:
    return TrainingReport(
        uid="mnist-ft-1",
        classifier="mnist",
        verdict=verdict,
        reasons=("the deciding reason", "another"),
        base_version=base,
        version=version,
        snapshot=SnapshotRef(images=1, labels=1, predictions=1),
        samples=1000,
        fresh_samples=512,
        steps=250,
        batch_size=128,
        evaluations=(
            Evaluation(name="fresh", samples=120, candidate_accuracy=0.8, incumbent_accuracy=0.188),
        ),
        started_at=NOW,
        finished_at=NOW,
    )


def test_an_improved_version_goes_live_at_once_without_a_canary_policy() -> None:
    change = judge(report(), LIVE, pin=None, canary=AT_ONCE)
    assert change.rollout == Rollout(revision=5, stable=8)
    assert change.kind is EventKind.PROMOTED
    assert (change.version, change.from_version) == (8, 7)
    assert "version 8 went live" in change.note.message
    assert "+61.2 points on the newest 120 held-out labels" in change.note.message


def test_an_improved_version_goes_on_trial_with_one() -> None:
    change = judge(report(), LIVE, pin=None, canary=TRIAL)
    assert change.rollout == ON_TRIAL
    assert change.kind is EventKind.CANARY_STARTED


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.IMPROVED])
def test_what_the_gate_refused_stays_out_with_the_gates_reason(verdict: Verdict) -> None:
    change = judge(report(verdict=verdict), LIVE, pin=None, canary=AT_ONCE)
    assert change.rollout is None
    assert change.kind is EventKind.REFUSED
    assert change.note.reason == verdict.value
    assert change.note.message == "version 8 refused: the deciding reason"


def test_an_improved_report_without_a_version_is_refused() -> None:
    change = judge(report(version=None), LIVE, pin=None, canary=AT_ONCE)
    assert (change.rollout, change.kind) == (None, EventKind.REFUSED)


def test_nothing_is_promoted_past_a_pin() -> None:
    change = judge(report(), LIVE, pin=7, canary=AT_ONCE)
    assert (change.rollout, change.note.reason) == (None, Reason.PINNED)


def test_a_version_judged_against_another_base_is_refused() -> None:
    change = judge(report(base=6), LIVE, pin=None, canary=AT_ONCE)
    assert (change.rollout, change.note.reason) == (None, Reason.BASE_CHANGED)


@pytest.mark.parametrize("policy", [AT_ONCE, TRIAL])
def test_judging_the_same_report_twice_changes_nothing_more(policy: CanaryPolicy) -> None:
    first = judge(report(), LIVE, pin=None, canary=policy)
    assert first.rollout is not None
    second = judge(report(), first.rollout, pin=None, canary=policy)
    assert (second.rollout, second.kind) == (None, None)


def test_a_trial_goes_on_until_both_have_enough_labels() -> None:
    for canary, stable in ((199, 1000), (1000, 199)):
        trial = Trial(5, stable=Score(stable, stable), canary=Score(canary, canary))
        change = weigh(ON_TRIAL, trial, TRIAL)
        assert (change.rollout, change.kind) == (None, None)
        assert "199 of 200" in change.note.message


def test_counts_of_another_revision_say_nothing() -> None:
    trial = Trial(4, stable=Score(900, 900), canary=Score(900, 0))
    assert weigh(ON_TRIAL, trial, TRIAL).rollout is None
    assert weigh(ON_TRIAL, None, TRIAL).rollout is None


def test_a_canary_that_holds_goes_live() -> None:
    trial = Trial(5, stable=Score(1800, 1500), canary=Score(200, 170))
    change = weigh(ON_TRIAL, trial, TRIAL)
    assert change.rollout == Rollout(revision=6, stable=8)
    assert change.kind is EventKind.PROMOTED


def test_a_canary_that_is_worse_is_rolled_back() -> None:
    trial = Trial(5, stable=Score(1800, 1620), canary=Score(200, 160))
    change = weigh(ON_TRIAL, trial, TRIAL)
    assert change.rollout == Rollout(revision=6, stable=7)
    assert change.kind is EventKind.ROLLED_BACK
    assert (change.version, change.from_version) == (7, 8)


def test_a_canary_that_is_plainly_worse_is_rolled_back_early() -> None:
    trial = Trial(5, stable=Score(180, 162), canary=Score(20, 4))
    assert weigh(ON_TRIAL, trial, TRIAL).kind is EventKind.ROLLED_BACK
    few = Trial(5, stable=Score(180, 162), canary=Score(19, 0))
    assert weigh(ON_TRIAL, few, TRIAL).kind is None


def test_a_document_without_a_canary_cannot_be_weighed() -> None:
    with pytest.raises(BadState):
        weigh(LIVE, None, TRIAL)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_the_test_is_fishers(stable: int, canary: int, data: st.DataObject) -> None:
    right_stable = data.draw(st.integers(0, stable))
    right_canary = data.draw(st.integers(0, canary))
    table = [
        [right_canary, canary - right_canary],
        [right_stable, stable - right_stable],
    ]
    expected = fisher_exact(table, alternative="less").pvalue
    found = p_worse(Score(stable, right_stable), Score(canary, right_canary))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_without_labels_nothing_is_worse() -> None:
    assert p_worse(Score(0, 0), Score(10, 0)) == 1.0
    assert p_worse(Score(10, 10), Score(0, 0)) == 1.0


def test_a_score_must_be_possible() -> None:
    with pytest.raises(BadState):
        Score(3, 4)


def test_a_pin_ends_a_trial_and_serves_alone() -> None:
    change = follow_pin(ON_TRIAL, pin=7, known=[7, 8])
    assert change is not None
    assert change.rollout == Rollout(revision=6, stable=7)


def test_a_pin_to_an_older_version_is_a_rollback() -> None:
    change = follow_pin(LIVE, pin=3, known=None)
    assert change is not None
    assert change.rollout == Rollout(revision=5, stable=3)
    assert change.kind is EventKind.ROLLED_BACK


def test_pinning_what_is_live_writes_no_document() -> None:
    change = follow_pin(LIVE, pin=7, known=[7])
    assert change is not None
    assert (change.rollout, change.kind) == (None, EventKind.PINNED)
    assert follow_pin(LIVE, pin=7, known=[7], before=7) is None


def test_a_pin_to_a_version_that_is_not_there_is_refused() -> None:
    change = follow_pin(LIVE, pin=99, known=[1, 7])
    assert change is not None
    assert (change.rollout, change.kind) == (None, EventKind.PIN_REFUSED)
    assert "the lake has 1, 7" in change.note.message


def test_unpinning_leaves_what_serves() -> None:
    change = follow_pin(LIVE, pin=None, known=None, before=7)
    assert change is not None
    assert (change.rollout, change.kind) == (None, EventKind.UNPINNED)
    assert follow_pin(LIVE, pin=None, known=None) is None


def test_a_refused_canary_is_rolled_back() -> None:
    change = follow_refusals(ON_TRIAL, refused={8: "checksum"}, previous=6)
    assert change is not None
    assert change.rollout == Rollout(revision=6, stable=7)
    assert "inference refuses version 8: checksum" in change.note.message


def test_a_refused_stable_version_gives_way_to_the_one_before() -> None:
    change = follow_refusals(LIVE, refused={7: "checksum"}, previous=6)
    assert change is not None
    assert change.rollout == Rollout(revision=5, stable=6)
    assert follow_refusals(LIVE, refused={7: "checksum"}, previous=None) is None
    assert follow_refusals(LIVE, refused={7: "a", 6: "b"}, previous=6) is None
    assert follow_refusals(LIVE, refused={5: "old"}, previous=6) is None


def test_the_first_document_has_a_stable_version() -> None:
    assert initial_rollout(3) == Rollout(revision=1, stable=3)


def test_the_memory_of_a_trial_survives_as_json() -> None:
    memory = CanaryMemory(
        version=8,
        revision=5,
        began_at=NOW,
        since=SnapshotRef(images=1, labels=2, predictions=3),
    )
    assert CanaryMemory.from_json(memory.to_json()) == memory
    with pytest.raises(BadState):
        CanaryMemory.from_json("{}")
