from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemline_operator.lifecycle import (
    BadPolicy,
    CanaryPolicy,
    Policy,
    Reason,
    RunLimits,
    due,
    fine_tune_uid,
    runs_so_far,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
POLICY = Policy(every=1000, cooldown=timedelta(seconds=60))


def test_waits_until_enough_labelled_samples_have_come() -> None:
    decision = due(POLICY, fresh=420, now=NOW)
    assert not decision.fires
    assert decision.note.reason == Reason.WAITING_FOR_SAMPLES
    assert decision.note.message == "420 of 1,000 new labelled samples"
    assert due(POLICY, fresh=999, now=NOW).fires is False
    assert due(POLICY, fresh=1000, now=NOW).fires is True


@pytest.mark.parametrize(
    ("hindrance", "reason"),
    [
        ({"running": "mnist-ft-1"}, Reason.RUNNING),
        ({"pin": 3}, Reason.PINNED),
        ({"canary": 4}, Reason.CANARY_ON_TRIAL),
        ({"fresh": None}, Reason.SUMMARY_UNKNOWN),
        ({"last_ended": NOW - timedelta(seconds=59)}, Reason.COOLDOWN),
    ],
)
def test_is_not_due_while_something_hinders(hindrance: dict, reason: Reason) -> None:
    decision = due(POLICY, **({"fresh": 5000, "now": NOW} | hindrance))
    assert not decision.fires
    assert decision.note.reason == reason


def test_suspended_policy_never_fires() -> None:
    decision = due(Policy(every=1, suspended=True), fresh=10, now=NOW)
    assert (decision.fires, decision.note.reason) == (False, Reason.SUSPENDED)


def test_cooldown_ends_exactly_then() -> None:
    ended = NOW - timedelta(seconds=60)
    assert due(POLICY, fresh=1000, now=NOW, last_ended=ended).fires


def test_a_single_run_may_start_at_once() -> None:
    assert due(Policy(every=0), fresh=0, now=NOW).fires


def test_uids_are_deterministic_and_counted_on() -> None:
    assert fine_tune_uid("mnist", 3) == "mnist-ft-3"
    assert runs_so_far("mnist", [None, "initial", "mnist-ft-2", "mnist-ft-11"]) == 11
    assert runs_so_far("mnist", ["other-mnist-ft-9", "mnist-ft-x", "mnist-ft-3-b"]) == 0


@given(st.integers(1, 10**9), st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True))
def test_every_uid_is_found_again(number: int, classifier: str) -> None:
    if number < 10**9:
        assert runs_so_far(classifier, [fine_tune_uid(classifier, number)]) == number


@pytest.mark.parametrize(
    "make",
    [
        lambda: Policy(every=-1),
        lambda: Policy(cooldown=timedelta(seconds=-1)),
        lambda: CanaryPolicy(fraction=0.0),
        lambda: CanaryPolicy(fraction=1.0),
        lambda: CanaryPolicy(min_labelled=0),
        lambda: CanaryPolicy(significance=1.5),
        lambda: RunLimits(retries=-1),
        lambda: RunLimits(deadline=timedelta(0)),
        lambda: RunLimits(backoff=timedelta(seconds=-1)),
    ],
)
def test_settings_out_of_range_are_refused(make) -> None:
    with pytest.raises(BadPolicy, match="expected"):
        make()


@given(st.integers(0, 10**6))
def test_backoff_grows_and_is_bounded(starts: int) -> None:
    limits = RunLimits()
    assert limits.backoff <= limits.wait_after(starts) <= limits.max_backoff
    assert limits.wait_after(starts) <= limits.wait_after(starts + 1)
