"""Images that need not fit into memory: kept there up to a bound, in a scratch file beyond it."""

import errno
import math
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO, Protocol, overload

import numpy as np
import numpy.typing as npt

from hemline_model._data._types import Images
from hemline_model._decode import ImageArray
from hemline_model._errors import BadDataset

__all__ = ["IN_MEMORY_BYTES", "ChosenImages", "FileImages", "Spool", "spool_stream"]

IN_MEMORY_BYTES = 512 << 20
"""Pixels of one split kept in memory, in bytes; what is larger is read from a file as it is used."""

_PIECE = 4 << 20

Shape = tuple[int, ...]
Rows = npt.NDArray[np.int64]


class SupportsRead(Protocol):
    """A binary stream, as far as it is needed here."""

    def read(self, size: int, /) -> bytes: ...


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


class Spool:
    """Takes images of one shape one after another, however many, and keeps them to be read again.

    Up to `in_memory_bytes` of pixels stay in memory; then all of them move to a file that has no
    name and vanishes with the process. It lies in `TMPDIR`, or in /var/tmp rather than /tmp, which
    on many systems is memory.
    """

    def __init__(self, shape: Shape, in_memory_bytes: int, expected: int = 0) -> None:
        self._shape = shape
        self._bound = in_memory_bytes
        self._held = bytearray()
        self._file: BinaryIO | None = None
        self._bytes = 0
        if expected * math.prod(shape) > in_memory_bytes:
            self._check_room(expected * math.prod(shape))
            self._to_file()

    def append(self, pixels: ImageArray) -> None:
        """Take one image of the spool's shape."""
        self.write(np.ascontiguousarray(pixels).data.cast("B"))

    def write(self, data: bytes | memoryview) -> None:
        """Take the bytes of further pixels; images may be cut anywhere.

        Raises:
            BadDataset: no room is left for the scratch file.
        """
        if self._file is None and self._bytes + len(data) > self._bound:
            self._to_file()
        self._bytes += len(data)
        if self._file is None:
            self._held += data
            return
        try:
            self._file.write(data)
        except OSError as error:
            raise _no_room(self._bytes, error) from error

    def images(self) -> Images:
        """The images taken so far: a uint8 array (N, *shape), or as much read from the file."""
        shape = (self._bytes // math.prod(self._shape), *self._shape)
        if self._file is None:
            return np.frombuffer(self._held, np.uint8).reshape(shape)
        try:
            self._file.flush()
        except OSError as error:
            raise _no_room(self._bytes, error) from error
        return FileImages(os.dup(self._file.fileno()), "the scratch file", shape)

    def _to_file(self) -> None:
        # Unlinked as soon as it is opened: a killed training leaves nothing behind.
        self._file = file = tempfile.TemporaryFile(dir=_scratch_directory())  # noqa: SIM115
        weakref.finalize(self, file.close)
        file.write(self._held)
        self._held = bytearray()

    @staticmethod
    def _check_room(needed: int) -> None:
        directory = _scratch_directory()
        free = shutil.disk_usage(directory).free
        if needed > free:
            raise BadDataset(
                f"the decoded images take {needed / 1e9:,.1f} GB and {directory} has "
                f"{free / 1e9:,.1f} GB free: name a folder with more room in TMPDIR, or bring the "
                "images to a smaller size"
            )


def spool_stream(stream: SupportsRead, shape: Shape, where: str, in_memory_bytes: int) -> Images:
    """Take images of `shape` (N, height, width, channels) from a stream that holds nothing else.

    Raises:
        BadDataset: it holds fewer or more.
    """
    spool = Spool(shape[1:], in_memory_bytes, expected=shape[0])
    expected, held = math.prod(shape), 0
    while held <= expected and (piece := stream.read(_PIECE)):
        held += len(piece)
        spool.write(piece)
    if held != expected:
        amount = "more" if held > expected else f"{held:,}"
        raise BadDataset(
            f"{where} holds {amount} bytes of pixels; its header promises {expected:,} ({shape})"
        )
    return spool.images()


def _scratch_directory() -> str:
    chosen = tempfile.gettempdir()
    if chosen == "/tmp" and os.access("/var/tmp", os.W_OK):  # noqa: S108
        return "/var/tmp"  # noqa: S108
    return chosen


def _no_room(written: int, error: OSError) -> BadDataset:
    reason = "no room is left" if error.errno == errno.ENOSPC else f"cannot write: {error.strerror}"
    return BadDataset(
        f"after {written / 1e9:,.1f} GB of decoded images in {_scratch_directory()}, {reason}: name "
        "a folder with more room in TMPDIR, or bring the images to a smaller size"
    )
