import numpy as np
import pytest

from hemline_client_sim import BadSchedule, DelayShape, Schedule


def test_gaps_are_gaussian_around_five_seconds_and_never_zero() -> None:
    schedule = Schedule(seed=1)
    gaps = np.array([schedule.gap(n) for n in range(3000)])
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(5.0, rel=0.02)
    assert gaps.std() == pytest.approx(1.0, rel=0.06)
    # A Gaussian has 68 % within one standard deviation; an exponential would have 63 % below its mean.
    assert np.mean(np.abs(gaps - 5.0) < 1.0) == pytest.approx(0.683, abs=0.03)


def test_truncation_cuts_at_zero_without_piling_up_there() -> None:
    schedule = Schedule(seed=1, spread=1.0)
    gaps = np.array([schedule.gap(n) for n in range(3000)])
    assert gaps.min() > 0
    # mean of a Gaussian (5, 5) cut at 0: mu + sigma * phi(1) / Phi(1)
    assert gaps.mean() == pytest.approx(5 + 5 * 0.24197 / 0.84134, rel=0.04)


@pytest.mark.parametrize("shape", list(DelayShape))
def test_label_delays_have_the_mean_asked_for(shape: DelayShape) -> None:
    schedule = Schedule(seed=2, delay_shape=shape)
    delays = np.array([schedule.delay(n) for n in range(4000)])
    assert delays.min() >= 0
    assert delays.mean() == pytest.approx(120.0, rel=0.06)
    assert delays.max() > 400


def test_speed_divides_both_and_leaves_a_rate_alone() -> None:
    slow, fast = Schedule(seed=3), Schedule(seed=3, speed=100)
    assert fast.gap(7) == pytest.approx(slow.gap(7) / 100)
    assert fast.delay(7) == pytest.approx(slow.delay(7) / 100)
    rated = Schedule(seed=3, speed=100, rate=20)
    assert rated.mean_gap == pytest.approx(0.05)
    assert rated.delay(7) == pytest.approx(fast.delay(7))


def test_what_is_drawn_depends_on_seed_and_position_alone() -> None:
    one, two = Schedule(seed=4), Schedule(seed=4)
    forward = [(one.gap(n), one.delay(n)) for n in range(20)]
    backward = [(two.gap(n), two.delay(n)) for n in reversed(range(20))]
    assert forward == backward[::-1]
    assert Schedule(seed=5).gap(0) != one.gap(0)


def test_a_regular_beat() -> None:
    assert Schedule(seed=1, spread=0, rate=4).gap(3) == 0.25


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": 0},
        {"interval": float("nan")},
        {"speed": -1},
        {"spread": 1.5},
        {"label_delay": -1},
        {"rate": 0},
        {"rate": float("inf")},
    ],
)
def test_what_no_stream_can_have_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadSchedule, match="received"):
        Schedule(seed=1, **wrong)
