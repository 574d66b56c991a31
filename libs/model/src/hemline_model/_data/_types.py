"""A data set as the rest of the library sees it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from hemline_model._contract import MAX_CLASSES, InputContract
from hemline_model._data._text import one_line
from hemline_model._decode import ImageArray
from hemline_model._errors import BadDataset
from hemline_model._split import SplitName

__all__ = [
    "Dataset",
    "Images",
    "Problem",
    "Split",
    "check_classes",
    "comfortable_batch",
    "first_of",
]

Labels = npt.NDArray[np.int64]

_BATCH, _BATCH_BYTES = 256, 32 << 20


@runtime_checkable
class Images(Protocol):
    """Images by position, in memory or read when asked for: a uint8 array is one."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice | npt.NDArray[np.int64]) -> ImageArray: ...


def comfortable_batch(images: Images) -> int:
    """Images to look at together: 256, or fewer where that would be more than 32 MiB."""
    size = images[:1].nbytes or 1
    return max(1, min(_BATCH, _BATCH_BYTES // size))


@dataclass(frozen=True, slots=True)
class Split:
    """N samples: `ids` (N), `labels` int64 (N,), `images` uint8 (N, height, width, channels)."""

    ids: Sequence[str]
    labels: Labels
    images: Images

    def __len__(self) -> int:
        return len(self.ids)

    def batches(self, size: int | None = None) -> Iterator[tuple[ImageArray, Labels]]:
        """Go through the split once, in order, `size` samples at a time (256, fewer if large)."""
        size = size or comfortable_batch(self.images)
        for start in range(0, len(self), size):
            yield self.images[start : start + size], self.labels[start : start + size]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with one part of a data set, and what was done about it."""

    where: str
    what: str

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.what}")


def first_of(problems: Sequence[Problem]) -> str:
    """What to add to the message that nothing usable is there; empty if nothing was left out."""
    if not problems:
        return ""
    if len(problems) == 1:
        return f"; 1 problem: {problems[0]}"
    return f"; {len(problems):,} problems, the first: {problems[0]}"


def check_classes(where: str, classes: Collection[str]) -> None:
    """Refuse classes that no model card could hold, before anything is trained on them.

    Raises:
        BadDataset: fewer than 2, more than 1,000, or one named twice.
    """
    if not 2 <= len(classes) <= MAX_CLASSES:
        count = "1 class" if len(classes) == 1 else f"{len(classes):,} classes"
        raise BadDataset(f"{where} has {count}; expected 2 to {MAX_CLASSES:,}")
    seen: set[str] = set()
    for label in classes:
        if label in seen:
            raise BadDataset(f"{where} names the class {label!r} twice; expected each once")
        seen.add(label)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Named classes, the shape of the images, and up to three splits.

    Raises:
        BadDataset: fewer than 2 classes, more than 1,000, or one named twice.
    """

    name: str
    classes: list[str]
    input: InputContract
    splits: Mapping[str, Split]
    problems: Sequence[Problem] = field(default=())
    mirrored: bool = True
    """Whether an image's mirror image belongs to the same class: not so for letters and digits."""

    def __post_init__(self) -> None:
        check_classes(self.name, self.classes)

    def split(self, name: SplitName) -> Split:
        """The samples of one split.

        Raises:
            BadDataset: the data set has no such split.
        """
        if name not in self.splits:
            known = ", ".join(self.splits)
            raise BadDataset(f"{self.name} has no {name} split; it has {known}")
        return self.splits[name]
