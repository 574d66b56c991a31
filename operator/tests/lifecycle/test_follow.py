from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from hemline_operator.lifecycle import Reason, RunAction, RunLimits, follow

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIMITS = RunLimits(retries=2, deadline=timedelta(seconds=100), backoff=timedelta(seconds=10))


def at(**facts):
    defaults = {
        "starts": 1,
        "started_at": NOW - timedelta(seconds=5),
        "down_since": None,
        "alive": False,
        "reported": False,
        "now": NOW,
    }
    return follow(LIMITS, **(defaults | facts))


def test_a_run_that_was_only_recorded_is_started() -> None:
    assert at(starts=0, started_at=None).action is RunAction.START


def test_a_living_trainer_is_left_alone() -> None:
    decision = at(alive=True)
    assert (decision.action, decision.note.reason) == (RunAction.WAIT, Reason.RUNNING)


def test_a_report_is_judged_once_the_trainer_is_gone() -> None:
    assert at(alive=True, reported=True).action is RunAction.WAIT
    assert at(alive=False, reported=True).action is RunAction.JUDGE


def test_a_killed_trainer_is_started_again_after_its_backoff() -> None:
    assert at(down_since=NOW - timedelta(seconds=9)).action is RunAction.WAIT
    assert at(down_since=NOW - timedelta(seconds=10)).action is RunAction.START
    assert at(starts=2, down_since=NOW - timedelta(seconds=19)).action is RunAction.WAIT
    assert at(starts=2, down_since=NOW - timedelta(seconds=20)).action is RunAction.START


def test_a_run_is_given_up_after_its_last_start() -> None:
    decision = at(starts=3, down_since=NOW - timedelta(days=1))
    assert decision.action is RunAction.GIVE_UP
    assert decision.note.reason == Reason.BACKOFF_LIMIT_EXCEEDED
    assert "3 times" in decision.note.message


def test_a_report_counts_even_after_the_last_start() -> None:
    assert at(starts=3, reported=True).action is RunAction.JUDGE


def test_a_trainer_that_takes_too_long_is_stopped() -> None:
    decision = at(alive=True, started_at=NOW - timedelta(seconds=101))
    assert (decision.action, decision.note.reason) == (RunAction.STOP, Reason.DEADLINE_EXCEEDED)


@given(
    starts=st.integers(0, 6),
    age=st.none() | st.integers(0, 300),
    down=st.none() | st.integers(0, 300),
    alive=st.booleans(),
    reported=st.booleans(),
)
def test_a_second_trainer_is_never_started_beside_a_living_one(
    starts, age, down, alive, reported
) -> None:
    decision = at(
        starts=starts,
        started_at=None if age is None else NOW - timedelta(seconds=age),
        down_since=None if down is None else NOW - timedelta(seconds=down),
        alive=alive,
        reported=reported,
    )
    if alive:
        assert decision.action in (RunAction.WAIT, RunAction.STOP)
    if decision.action is RunAction.START:
        assert starts <= LIMITS.retries
    if decision.action is RunAction.JUDGE:
        assert reported
    assert decision.note.message
