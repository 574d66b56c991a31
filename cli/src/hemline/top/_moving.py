"""Live accuracy over time, from bins of answers."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hemline_client_sim import BinStatus

__all__ = ["Point", "moving_accuracy"]


@dataclass(frozen=True, slots=True)
class Point:
    """Accuracy of the newest answers to images sent before ``at`` (seconds since the stream's start)."""

    at: float
    accuracy: float
    answers: int


def moving_accuracy(
    bins: Iterable[BinStatus], *, answers: int = 100, seconds: float = 30.0
) -> list[Point]:
    """A point at the end of each bin that holds answers.

    Args:
        bins: of one version, or of several: bins of the same time are added up.
        answers: the window reaches back until it holds so many,
        seconds: but never further than this, so that a gap in the stream forgets.

    Returns:
        Points in order of time; those at the beginning rest on fewer answers.
    """
    window: deque[tuple[float, int, int]] = deque()
    points: list[Point] = []
    right = total = 0
    for end, bin_right, bin_total in _merged(bins):
        window.append((end, bin_right, bin_total))
        right += bin_right
        total += bin_total
        while len(window) > 1 and (
            total - window[0][2] >= answers or window[0][0] <= end - seconds
        ):
            _, old_right, old_total = window.popleft()
            right -= old_right
            total -= old_total
        if total:
            points.append(Point(end, right / total, total))
    return points


def _merged(bins: Iterable[BinStatus]) -> Sequence[tuple[float, int, int]]:
    sums: dict[float, tuple[int, int]] = {}
    for item in bins:
        end = item.start + item.width
        right, total = sums.get(end, (0, 0))
        sums[end] = (right + item.right, total + item.total)
    return [(end, right, total) for end, (right, total) in sorted(sums.items())]
