"""Randomness by position: what is drawn for image ``n`` depends on the seed and ``n`` alone.

So a run that was killed and resumed draws what it would have drawn, and two runs with one seed send the same stream
whatever the timing.
"""

from enum import IntEnum

import numpy as np

__all__ = ["Purpose", "generator"]


class Purpose(IntEnum):
    """Each purpose has a sequence of its own, so that one more draw for one never shifts another."""

    ORDER = 1
    GAP = 2
    LABEL_DELAY = 3
    LABEL_NOISE = 4
    CORRUPTION = 5
    PIXELS = 6
    MIX = 7


def generator(seed: int, purpose: Purpose, n: int) -> np.random.Generator:
    """The generator of image (or pass) ``n`` for one purpose."""
    return np.random.default_rng((seed, int(purpose), n))
