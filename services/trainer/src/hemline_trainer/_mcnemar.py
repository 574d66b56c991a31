"""Tests for two classifiers on the same samples."""

from math import sqrt
from statistics import NormalDist

__all__ = ["exact_mcnemar", "excess_p_value"]


def exact_mcnemar(only_first_right: int, only_second_right: int) -> float:
    """Two-sided p-value: how likely a difference at least as large is when neither is better.

    McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages", in
    its exact form: samples on which both are right, or both wrong, say nothing; the others are tosses of a fair coin.

    Raises:
        ValueError: a count is negative.
    """
    if only_first_right < 0 or only_second_right < 0:
        raise ValueError(
            f"counts are {only_first_right} and {only_second_right}; expected none below 0"
        )
    tosses = only_first_right + only_second_right
    fewer = min(only_first_right, only_second_right)
    # Whole numbers all the way: nothing overflows, and tiny probabilities keep their digits.
    tail, term = 0, 1
    for heads in range(fewer + 1):
        tail += term
        term = term * (tosses - heads) // (heads + 1)
    outcomes: int = 2**tosses
    return min(1.0, 2 * tail / outcomes)


def excess_p_value(lost: int, gained: int, samples: int, *, allowed: float) -> float:
    """One-sided p-value of a loss larger than ``allowed``: small when chance does not explain the excess.

    Wald's statistic for a difference of paired proportions against a margin (Liu et al. 2002, "Tests for equivalence
    or non-inferiority for paired binary data"). ``lost`` and ``gained`` are the samples that only the old, or only
    the new classifier gets right.

    Raises:
        ValueError: there are no samples, or fewer than those that changed.
    """
    if samples < 1 or lost < 0 or gained < 0 or lost + gained > samples:
        raise ValueError(
            f"{lost} lost and {gained} gained of {samples} samples; expected counts that can be"
        )
    loss = (lost - gained) / samples
    error = sqrt(max(0.0, lost + gained - (lost - gained) ** 2 / samples)) / samples
    if error == 0.0:
        return 0.0 if loss > allowed else 1.0
    return 1.0 - NormalDist().cdf((loss - allowed) / error)
