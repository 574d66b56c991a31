import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hemline_api.report import Verdict
from hemline_trainer._gate import GateSettings, HeldOut, judge
from hemline_trainer._mcnemar import exact_mcnemar, excess_p_value

CLASSES = ("ant", "bee", "cow", "dog")


def held_out(name, *, both=0, gained=0, lost=0, neither=0, label=0):
    """Samples of one class, of which so many both, only one, or none of the models get right."""
    right, wrong = label, (label + 1) % len(CLASSES)
    candidate = [right] * both + [right] * gained + [wrong] * lost + [wrong] * neither
    incumbent = [right] * both + [wrong] * gained + [right] * lost + [wrong] * neither
    labels = np.full(len(candidate), label, np.int64)
    return HeldOut(name, labels, np.array(candidate, np.int64), np.array(incumbent, np.int64))


def joined(*parts):
    return HeldOut(
        parts[0].name,
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.candidate for part in parts]),
        np.concatenate([part.incumbent for part in parts]),
    )


NONE = held_out("frozen")
STEADY = held_out("frozen", both=900, gained=20, lost=20, neither=60)
HEALED = held_out("fresh", both=10, gained=30, lost=1, neither=9)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_exact_binomial_test(gained, lost):
    expected = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    assert exact_mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_survives_many_samples():
    assert exact_mcnemar(20_000, 0) == 0.0
    assert exact_mcnemar(10_000, 10_000) == 1.0


def test_a_gain_on_the_newest_without_a_loss_on_the_frozen_is_an_improvement():
    result = judge(STEADY, HEALED, CLASSES, GateSettings())
    assert result.verdict is Verdict.IMPROVED
    assert result.reasons[0].startswith("fresh: 80.0% right, before 22.0% (+58.0 points on 50")
    assert [evaluation.name for evaluation in result.evaluations] == ["frozen", "fresh"]
    fresh = result.evaluations[1]
    assert (fresh.only_candidate_right, fresh.only_incumbent_right) == (30, 1)
    assert fresh.candidate_accuracy == pytest.approx(0.8)


def test_too_few_newest_labels_are_no_ground_to_judge_on():
    result = judge(STEADY, held_out("fresh", gained=19), CLASSES, GateSettings())
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    assert "only 19 held-out samples" in result.reasons[0]
    assert "expected at least 20" in result.reasons[0]


def test_no_held_out_sample_at_all():
    result = judge(NONE, held_out("fresh"), CLASSES, GateSettings())
    assert result.verdict is Verdict.NOT_ENOUGH_DATA
    assert result.evaluations == ()


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (10, 6), (3, 5)])
def test_what_chance_explains_is_no_improvement(gained, lost):
    result = judge(
        STEADY, held_out("fresh", both=80, gained=gained, lost=lost), CLASSES, GateSettings()
    )
    assert result.verdict is Verdict.NOT_IMPROVED
    assert "no significant gain" in result.reasons[0]


def test_six_to_nothing_is_significant():
    result = judge(STEADY, held_out("fresh", both=20, gained=6), CLASSES, GateSettings())
    assert result.verdict is Verdict.IMPROVED


def test_a_significant_loss_on_the_newest_is_a_regression():
    result = judge(STEADY, held_out("fresh", both=50, lost=10), CLASSES, GateSettings())
    assert result.verdict is Verdict.REGRESSED
    assert "significantly worse on the fresh samples" in result.reasons[0]


def test_the_frozen_set_may_lose_what_is_allowed_and_no_more():
    allowed = held_out("frozen", both=960, gained=20, lost=20)
    assert judge(allowed, HEALED, CLASSES, GateSettings()).verdict is Verdict.IMPROVED
    too_much = held_out("frozen", both=960, gained=19, lost=60)
    result = judge(too_much, HEALED, CLASSES, GateSettings())
    assert result.verdict is Verdict.REGRESSED
    assert "loses 3.9 points on the frozen samples, at most 2.0" in result.reasons[0]


def test_what_chance_may_have_taken_beyond_the_allowed_is_let_pass():
    by_chance = held_out("frozen", both=927, gained=19, lost=41, neither=2)
    assert judge(by_chance, HEALED, CLASSES, GateSettings()).verdict is Verdict.IMPROVED
    # Ten times the samples with the same loss are no chance any more.
    surely = held_out("frozen", both=9270, gained=190, lost=440, neither=20)
    assert judge(surely, HEALED, CLASSES, GateSettings()).verdict is Verdict.REGRESSED


@given(st.integers(0, 50), st.integers(0, 50), st.integers(100, 1000), st.floats(0, 0.3))
def test_the_margin_decides_when_the_loss_is_far_from_it(lost, gained, samples, allowed):
    # Closer than this to the margin, rounding decides.
    assume(abs((lost - gained) / samples - allowed) > 1e-6)
    p_value = excess_p_value(lost, gained, samples, allowed=allowed)
    assert 0 <= p_value <= 1
    assert (p_value < 0.5) == ((lost - gained) / samples > allowed)


def test_a_loss_without_scatter_is_compared_as_it_is():
    assert excess_p_value(0, 0, 100, allowed=0.0) == 1.0
    assert excess_p_value(100, 0, 100, allowed=0.5) == 0.0


def test_one_class_may_not_pay_for_the_others():
    frozen = joined(
        held_out("frozen", both=60, lost=20, label=1),
        held_out("frozen", both=880, gained=19, label=0),
    )
    result = judge(frozen, HEALED, CLASSES, GateSettings())
    assert result.verdict is Verdict.REGRESSED
    assert "class bee loses 25.0 points of recall" in result.reasons[0]
    assert result.evaluations[0].worst_class == "bee"
    assert result.evaluations[0].worst_class_change == pytest.approx(-0.25)


def test_a_class_just_below_its_floor_is_let_pass():
    frozen = joined(
        held_out("frozen", both=800, label=0),
        held_out("frozen", both=57, gained=4, lost=19, neither=14, label=1),
    )
    result = judge(frozen, HEALED, CLASSES, GateSettings())
    assert result.evaluations[0].worst_class_change == pytest.approx(-15 / 94)
    assert result.verdict is Verdict.IMPROVED


def test_a_class_with_few_samples_is_not_judged():
    frozen = joined(
        held_out("frozen", lost=19, label=1), held_out("frozen", both=5000, gained=19, label=0)
    )
    result = judge(frozen, HEALED, CLASSES, GateSettings())
    assert result.verdict is Verdict.IMPROVED
    assert result.evaluations[0].worst_class == "ant"


def test_a_class_that_falls_by_chance_is_let_pass():
    frozen = joined(
        held_out("frozen", both=15, lost=5, label=1), held_out("frozen", both=5000, label=0)
    )
    assert judge(frozen, HEALED, CLASSES, GateSettings()).verdict is Verdict.IMPROVED


def test_without_a_frozen_set_the_newest_labels_decide_and_it_is_said():
    result = judge(NONE, HEALED, CLASSES, GateSettings())
    assert result.verdict is Verdict.IMPROVED
    assert any("no frozen validation set" in reason for reason in result.reasons)
