"""Taking images one after another, however many: kept in memory up to a bound, in a file beyond it."""

import errno
import math
import os
import shutil
import tempfile
import weakref
from typing import BinaryIO, Protocol

import numpy as np

from hemline_model._data._stored import FileImages
from hemline_model._data._types import Images
from hemline_model._decode import ImageArray
from hemline_model._errors import BadDataset

__all__ = ["IN_MEMORY_BYTES", "Spool", "SupportsRead", "spool_stream"]

IN_MEMORY_BYTES = 512 << 20
"""Pixels of one split kept in memory, in bytes; what is larger is read from a file as it is used."""

_PIECE = 4 << 20

Shape = tuple[int, ...]


class SupportsRead(Protocol):
    """A binary stream, as far as it is needed here."""

    def read(self, size: int, /) -> bytes: ...


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
