"""A line of numbers as a line of blocks."""

from collections.abc import Sequence
from typing import Final

__all__ = ["sparkline"]

_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], *, low: float = 0.0, high: float = 1.0) -> str:
    """One character a value on a fixed scale from ``low`` to ``high``; a space where there is none."""
    return "".join(
        " " if value is None else _BLOCKS[_level((value - low) / (high - low))] for value in values
    )


def _level(share: float) -> int:
    return min(max(int(share * len(_BLOCKS)), 0), len(_BLOCKS) - 1)
