"""Images that need not be in memory: in a file, or some of, or several of, other collections."""

import math
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import numpy.typing as npt

from hemline_model._data._types import Images
from hemline_model._decode import ImageArray
from hemline_model._errors import BadDataset

__all__ = ["ChosenImages", "FileImages", "JoinedImages"]

_PIECE = 4 << 20

Shape = tuple[int, ...]
Rows = npt.NDArray[np.int64]


class FileImages:
    """N uint8 images of one shape, back to back in a file, read when they are asked for.

    Read with `pread`, not through a memory map: mapped pages count as this process's memory for as
    long as the kernel likes, and a file that is cut short under a map ends the process by a signal
    where this raises `BadDataset`. Threads may share one.
    """

    def __init__(self, descriptor: int, where: str, shape: Shape, offset: int = 0) -> None:
        self.shape = shape
        self._descriptor = descriptor
        self._where = where
        self._offset = offset
        self._size = math.prod(shape[1:])
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def open(cls, path: Path, shape: Shape, offset: int) -> "FileImages":
        """Images of `shape` (N, height, width, channels) that begin at `offset` of a file."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC), str(path), shape, offset)

    def __len__(self) -> int:
        return self.shape[0]

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice | Rows) -> ImageArray: ...
    def __getitem__(self, index: int | slice | Rows) -> ImageArray:
        if isinstance(index, (int, np.integer)):
            one: ImageArray = self._read(range(len(self))[index], 1)[0]
            return one
        if isinstance(index, slice):
            rows = range(len(self))[index]
            if rows.step == 1:
                return self._read(rows.start, len(rows))
            index = np.array(rows, np.int64)
        batch = np.empty((len(index), *self.shape[1:]), np.uint8)
        for place, row in enumerate(index.tolist()):
            batch[place] = self._read(row, 1)[0]
        return batch

    def _read(self, first: int, count: int) -> ImageArray:
        pixels = np.empty((count, *self.shape[1:]), np.uint8)
        rest = pixels.reshape(-1).data
        at = self._offset + first * self._size
        while rest:
            piece = os.pread(self._descriptor, min(len(rest), _PIECE), at)
            if not piece:
                raise BadDataset(f"{self._where} was cut short while it was being read")
            rest[: len(piece)] = piece
            rest, at = rest[len(piece) :], at + len(piece)
        return pixels


class ChosenImages:
    """Some of the images of another collection, by their rows there."""

    def __init__(self, whole: Images, rows: Rows) -> None:
        self._whole = whole
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice | Rows) -> ImageArray: ...
    def __getitem__(self, index: int | slice | Rows) -> ImageArray:
        if isinstance(index, (int, np.integer)):
            return self._whole[int(self._rows[index])]
        return self._whole[self._rows[index]]


class JoinedImages:
    """Several collections of images of one shape, one after another."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, index: int) -> ImageArray: ...
    @overload
    def __getitem__(self, index: slice | Rows) -> ImageArray: ...
    def __getitem__(self, index: int | slice | Rows) -> ImageArray:
        if isinstance(index, (int, np.integer)):
            return self._one(range(len(self))[index])
        rows = range(len(self))[index] if isinstance(index, slice) else index.tolist()
        images = [self._one(row) for row in rows]
        return np.stack(images) if images else self._parts[0][:0]

    def _one(self, row: int) -> ImageArray:
        part = int(np.searchsorted(self._ends, row, side="right"))
        return self._parts[part][row - int(self._ends[part]) + len(self._parts[part])]
