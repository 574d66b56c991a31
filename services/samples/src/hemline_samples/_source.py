"""From chosen samples to the bytes that travel: out of the cache where they are decoded, out of the lake otherwise."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemline_model import BadImage, InputContract, decode
from hemline_samples._cache import DecodedCache
from hemline_samples._dataset import DataSet
from hemline_samples._order import Indices
from hemline_samples._plan import Chosen
from hemline_store import Snapshot

__all__ = ["Batch", "SampleSource", "Take"]

_log = logging.getLogger(__name__)

Take = Callable[[Snapshot, Indices], Sequence[bytes]]
"""Encoded images of a snapshot, by row, in the order asked for; called by several threads at once."""


@dataclass(frozen=True, slots=True)
class Batch:
    """N decoded samples, the first ``fresh`` of them fresh: uint8 (N, height, width, channels), int64 (N,)."""

    images: npt.NDArray[np.uint8]
    labels: Indices
    fresh: int


class SampleSource:
    """Reads and decodes; may be used by many threads.

    An image that cannot be decoded is left out of its batch. That depends on its bytes alone, so every server
    leaves out the same ones and positions stay what they are.
    """

    def __init__(self, take: Take, contract: InputContract, cache: DecodedCache) -> None:
        """Read by ``take`` and bring every image to ``contract``."""
        self._take = take
        self._contract = contract
        self._cache = cache

    def is_ready(self, data: DataSet, chosen: Chosen) -> bool:
        """Whether the whole batch is in memory, decoded."""
        return not self._cache.missing(data.places[chosen.indices]).any()

    def batch(self, data: DataSet, chosen: Chosen) -> Batch:
        """Decode one batch.

        Raises:
            StoreError: the lake cannot be read.
        """
        indices = chosen.indices
        places = data.places[indices]
        missing = self._cache.missing(places)
        good = ~self._cache.broken(places)
        if good.all() and not missing.any():
            return Batch(self._cache.read(places), data.labels[indices], chosen.fresh)
        images = np.empty((len(indices), *self._contract.shape), np.uint8)
        ready = good & ~missing
        images[ready] = self._cache.read(places[ready])
        at = np.flatnonzero(missing)
        encoded = self._take(data.snapshot, data.rows[indices[at]]) if len(at) else ()
        for position, body in zip(at.tolist(), encoded, strict=True):
            image = self._decode(body, data.ids[int(indices[position])])
            self._cache.write(int(places[position]), image)
            if image is None:
                good[position] = False
            else:
                images[position] = image
        if good.all():
            return Batch(images, data.labels[indices], chosen.fresh)
        fresh = int(np.count_nonzero(good[: chosen.fresh]))
        return Batch(images[good], data.labels[indices[good]], fresh)

    def _decode(self, body: bytes, sample: str) -> npt.NDArray[np.uint8] | None:
        try:
            return decode(body, self._contract)
        except BadImage as error:
            _log.warning("sample %s is left out: %s", sample, error)
            return None
