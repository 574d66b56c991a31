"""The order of samples: permutations that every server computes alike, on any machine, in any version.

A permutation sorts the indices by 64-bit keys from the Philox generator (Salmon et al. 2011, "Parallel random
numbers: as easy as 1, 2, 3"). Only its raw bits are used: numpy promises that those never change, and does not
promise it for its own shuffles.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["FRESH", "POOL", "Endless", "Indices", "permutation"]

Indices = npt.NDArray[np.int64]

POOL: Final = 0
"""Purpose of the order of the whole pool."""
FRESH: Final = 1
"""Purpose of the order of the fresh samples: independent of the pool's under the same seed."""

_EPOCH_BITS = 48


def permutation(count: int, *, seed: int, purpose: int, epoch: int) -> Indices:
    """The numbers 0 to ``count`` - 1 in an order that is a pure function of the arguments: int64 (count,)."""
    key = np.array([seed, (purpose << _EPOCH_BITS) | epoch], np.uint64)
    keys = np.random.Philox(key=key).random_raw(count)
    # Stable, so that equal keys, however rare, are ordered alike everywhere.
    return np.argsort(keys, kind="stable")


class Endless:
    """One permutation of ``items`` after the other, read from any place.

    Keeps the permutation read last: a stream that goes forward computes each once.
    """

    def __init__(self, items: Indices, *, seed: int, purpose: int) -> None:
        """Order ``items``, which may not be empty."""
        if not len(items):
            raise ValueError("items is empty; expected at least one to draw from")
        self._items = items
        self._seed = seed
        self._purpose = purpose
        self._epoch = -1
        self._order = items

    def take(self, start: int, count: int) -> Indices:
        """The items at places ``start`` to ``start + count`` of the endless sequence."""
        parts = []
        while count > 0:
            epoch, place = divmod(start, len(self._items))
            part = self._in_epoch(epoch)[place : place + count]
            parts.append(part)
            start += len(part)
            count -= len(part)
        return np.concatenate(parts) if parts else self._items[:0]

    def _in_epoch(self, epoch: int) -> Indices:
        if epoch != self._epoch:
            order = permutation(
                len(self._items), seed=self._seed, purpose=self._purpose, epoch=epoch
            )
            self._order, self._epoch = self._items[order], epoch
        return self._order
