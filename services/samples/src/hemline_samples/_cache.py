"""Decoded images kept in memory, so that only the first pass over a data set pays for decoding."""

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hemline_model import InputContract
from hemline_samples._order import Indices

__all__ = ["DecodedCache"]

_ABSENT, _PRESENT, _BROKEN = 0, 1, 2


class DecodedCache:
    """A fixed number of places for uint8 images of one shape, given to image ids as they come.

    An image's bytes never change under its id, so what is kept never becomes wrong. Without room, ids get the place
    -1 and are decoded each time: with more data than memory, a cache that evicted what was read longest ago would
    never hit in a pass over everything.

    Memory is taken as places are filled, ``max_bytes`` at most. May be used by many threads.
    """

    def __init__(self, contract: InputContract, max_bytes: int) -> None:
        """Lay out the places; nothing is touched yet, so nothing is committed."""
        count = max_bytes // contract.num_bytes
        # One more than is given out: what -1 points at is never filled.
        self._images = np.empty((count + 1, *contract.shape), np.uint8)
        self._state = np.zeros(count + 1, np.uint8)
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()
        self._size = count

    def places(self, ids: Sequence[str]) -> Indices:
        """The place of each id, int64; -1 where there is no room."""
        with self._lock:
            known = self._places
            for sample in ids:
                if len(known) >= self._size:
                    break
                known.setdefault(sample, len(known))
            return np.fromiter((known.get(sample, -1) for sample in ids), np.int64, len(ids))

    def count(self) -> int:
        """How many images are kept."""
        return int(np.count_nonzero(self._state == _PRESENT))

    def missing(self, places: Indices) -> npt.NDArray[np.bool_]:
        """Which of the places hold nothing yet (-1 never does)."""
        absent: npt.NDArray[np.bool_] = (places < 0) | (self._state[places] == _ABSENT)
        return absent

    def broken(self, places: Indices) -> npt.NDArray[np.bool_]:
        """Which of the places are known to be of images that cannot be decoded."""
        known: npt.NDArray[np.bool_] = (places >= 0) & (self._state[places] == _BROKEN)
        return known

    def read(self, places: Indices) -> npt.NDArray[np.uint8]:
        """The images at places that hold one, uint8 (len(places), height, width, channels)."""
        return self._images[places]

    def write(self, place: int, image: npt.NDArray[np.uint8] | None) -> None:
        """Fill a place; None marks an image that cannot be decoded."""
        if place < 0:
            return
        if image is None:
            self._state[place] = _BROKEN
            return
        self._images[place] = image
        # Last, so that no other thread reads an image that is only half there.
        self._state[place] = _PRESENT
