"""Which samples a stream sends: a pure function of the selection, the seed, the shard and the position."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hemline_samples._errors import NotReady
from hemline_samples._order import FRESH, POOL, Endless, Indices, permutation

__all__ = ["Chosen", "Mixed", "OnePass", "Plan", "Shard"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """One batch: indices into the selection's arrays, the first ``fresh`` of them fresh samples."""

    indices: Indices
    fresh: int


@dataclass(frozen=True, slots=True)
class Shard:
    """Which batches of the whole stream one client gets: those whose number modulo ``count`` is ``index``."""

    index: int = 0
    count: int = 1

    def number_of(self, position: int) -> int:
        """Number in the whole stream of the batch at ``position`` of this shard."""
        return position * self.count + self.index


class Plan(Protocol):
    """Batches by position."""

    def batch(self, position: int) -> Chosen | None:
        """The batch at ``position`` of the shard, None behind the end."""
        ...


class OnePass:
    """Each sample of the pool once, in shuffled order; the last batch may be short."""

    def __init__(self, pool: Indices, *, seed: int, shard: Shard, batch_size: int) -> None:
        """Shuffle ``pool`` by ``seed``."""
        order = permutation(len(pool), seed=seed, purpose=POOL, epoch=0)
        self._order = pool[order]
        self._shard = shard
        self._size = batch_size

    def batch(self, position: int) -> Chosen | None:
        """The batch at ``position``, None behind the end of the pass."""
        start = self._shard.number_of(position) * self._size
        chosen = self._order[start : start + self._size]
        return Chosen(chosen, 0) if len(chosen) else None


class Mixed:
    """Batches without end: ``fresh_size`` samples from the fresh ones, then the rest from the whole pool.

    Each half goes through its samples again and again, in another order each time. The pool holds the fresh
    samples too.

    Raises:
        NotReady: there is nothing to draw one of the halves from.
    """

    def __init__(
        self,
        pool: Indices,
        fresh: Indices,
        *,
        seed: int,
        shard: Shard,
        batch_size: int,
        fresh_fraction: float,
    ) -> None:
        """Divide each batch by ``fresh_fraction``, rounded to whole samples, halves up."""
        self._fresh_size = int(batch_size * fresh_fraction + 0.5)
        self._old_size = batch_size - self._fresh_size
        if self._fresh_size and not len(fresh):
            raise NotReady(
                "mix: there is no fresh sample in this snapshot; expected at least one labelled stream sample after "
                "fresh_since: wait for labels, or ask for fresh_fraction 0"
            )
        if self._old_size and not len(pool):
            raise NotReady("mix: there is no labelled sample in this snapshot; import a data set")
        self._fresh = Endless(fresh, seed=seed, purpose=FRESH) if self._fresh_size else None
        self._pool = Endless(pool, seed=seed, purpose=POOL) if self._old_size else None
        self._shard = shard

    def batch(self, position: int) -> Chosen:
        """The batch at ``position``; there always is one."""
        number = self._shard.number_of(position)
        parts = [
            source.take(number * size, size)
            for source, size in ((self._fresh, self._fresh_size), (self._pool, self._old_size))
            if source is not None
        ]
        return Chosen(np.concatenate(parts), self._fresh_size)
