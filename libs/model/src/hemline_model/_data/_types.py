"""A data set as the rest of the library sees it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from hemline_model._contract import InputContract
from hemline_model._decode import ImageArray
from hemline_model._errors import BadDataset
from hemline_model._split import SplitName

__all__ = ["Dataset", "Images", "LazyImages", "Problem", "Split"]

Labels = npt.NDArray[np.int64]


@runtime_checkable
class Images(Protocol):
    """Images by position, in memory or decoded when asked for: a uint8 array is one."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[np.int64]) -> ImageArray: ...


class LazyImages:
    """Images that are decoded each time they are asked for, so that only a batch is in memory."""

    def __init__(self, count: int, contract: InputContract, get: Callable[[int], ImageArray]):
        self._count = count
        self._contract = contract
        self._get = get

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[np.int64]) -> ImageArray: ...
    def __getitem__(self, index: int | slice | npt.NDArray[np.int64]) -> ImageArray:
        if isinstance(index, (int, np.integer)):
            return self._get(range(self._count)[index])
        wanted = range(self._count)[index] if isinstance(index, slice) else index.tolist()
        batch = np.empty((len(wanted), *self._contract.shape), np.uint8)
        for place, position in enumerate(wanted):
            batch[place] = self._get(position)
        return batch


@dataclass(frozen=True, slots=True)
class Split:
    """N samples: `ids` (N), `labels` int64 (N,), `images` uint8 (N, height, width, channels)."""

    ids: Sequence[str]
    labels: Labels
    images: Images

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int) -> Iterator[tuple[ImageArray, Labels]]:
        """Go through the split once, in order, `size` samples at a time."""
        for start in range(0, len(self), size):
            yield self.images[start : start + size], self.labels[start : start + size]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one part of a data set, and what was done about it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Dataset:
    """Named classes, the shape of the images, and up to three splits."""

    name: str
    classes: list[str]
    input: InputContract
    splits: Mapping[str, Split]
    problems: Sequence[Problem] = field(default=())

    def split(self, name: SplitName) -> Split:
        """The samples of one split.

        Raises:
            BadDataset: the data set has no such split.
        """
        if name not in self.splits:
            known = ", ".join(self.splits)
            raise BadDataset(f"{self.name} has no {name} split; it has {known}")
        return self.splits[name]
