"""McNemar's exact test for two classifiers on the same samples."""

__all__ = ["exact_mcnemar"]


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
