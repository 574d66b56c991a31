"""Accuracy over time: a moving window for the live view, bins for the whole run. Both are bounded."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AccuracyBins", "AccuracyWindow", "Bin", "Share"]


@dataclass(frozen=True, slots=True)
class Share:
    """``right`` of ``total``."""

    right: int
    total: int

    @property
    def accuracy(self) -> float | None:
        """``right / total``; None of nothing."""
        return self.right / self.total if self.total else None


class AccuracyWindow:
    """Right answers among the newest ``size`` of each model version.

    Args:
        size: answers a version's window holds.
        versions: only so many of the newest (greatest) versions are kept.
    """

    def __init__(self, size: int = 200, *, versions: int = 8) -> None:
        """Begin empty."""
        self._size = size
        self._versions = versions
        self._outcomes: dict[int, deque[bool]] = {}

    def add(self, version: int, *, right: bool) -> None:
        """Take one answer whose truth is known."""
        if version not in self._outcomes:
            self._outcomes[version] = deque(maxlen=self._size)
            if len(self._outcomes) > self._versions:
                del self._outcomes[min(self._outcomes)]
        if version in self._outcomes:
            self._outcomes[version].append(right)

    def shares(self) -> Mapping[int, Share]:
        """Each version's share, oldest version first."""
        return {
            version: Share(sum(outcomes), len(outcomes))
            for version, outcomes in sorted(self._outcomes.items())
        }


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers to images that were sent in ``[start, start + width)`` seconds after the start."""

    version: int
    start: float
    width: float
    right: int
    total: int


class AccuracyBins:
    """Right answers by model version and by the moment their images were sent.

    Labels come in any order; counting by the sending moment puts every answer where the plot's drift marks are. When
    there are more than ``limit`` bins their width doubles, so an endless run keeps a bounded history.

    Args:
        width: of a bin, in seconds.
        limit: bins kept, over all versions.
    """

    def __init__(self, width: float = 1.0, *, limit: int = 1000) -> None:
        """Begin empty."""
        self._width = width
        self._limit = limit
        self._counts: dict[tuple[int, int], list[int]] = {}

    def add(self, version: int, elapsed: float, *, right: bool) -> None:
        """Take one answer to an image sent ``elapsed`` seconds after the start."""
        counts = self._counts.setdefault((version, int(elapsed // self._width)), [0, 0])
        counts[0] += right
        counts[1] += 1
        while len(self._counts) > self._limit and any(place for _, place in self._counts):
            self._widen()

    def bins(self) -> list[Bin]:
        """Every bin, by version and time."""
        return [
            Bin(version, place * self._width, self._width, right, total)
            for (version, place), (right, total) in sorted(self._counts.items())
        ]

    def _widen(self) -> None:
        merged: dict[tuple[int, int], list[int]] = {}
        for (version, place), (right, total) in self._counts.items():
            counts = merged.setdefault((version, place // 2), [0, 0])
            counts[0] += right
            counts[1] += total
        self._counts = merged
        self._width *= 2
