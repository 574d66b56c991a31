"""IDX files, the format of MNIST and its relatives, gzip-compressed or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hemline_model._data._assemble import Part, assemble
from hemline_model._data._types import Dataset
from hemline_model._errors import BadDataset

__all__ = ["find_idx", "load_idx", "read_idx", "write_idx"]

_MAX_BYTES = 2 << 30
_PARTS = {"train": ("train",), "test": ("t10k", "test")}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes.

    Raises:
        BadDataset: not IDX, another element type, cut short, or longer than its header says.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            head = file.read(4)
            if len(head) < 4 or head[:2] != b"\0\0":
                raise BadDataset(
                    f"{path} begins with {head!r}; expected the IDX magic number 00 00 08 NN "
                    "(NN dimensions)"
                )
            if head[2] != 0x08:
                raise BadDataset(
                    f"{path} holds IDX elements of type 0x{head[2]:02x}; expected 0x08 (unsigned bytes)"
                )
            num_dimensions = head[3]
            if not 1 <= num_dimensions <= 4:
                raise BadDataset(f"{path} has {num_dimensions} dimensions; expected 1 to 4")
            sizes = file.read(4 * num_dimensions)
            if len(sizes) < 4 * num_dimensions:
                raise BadDataset(f"{path} ends inside its header; it was not copied completely")
            shape = struct.unpack(f">{num_dimensions}I", sizes)
            expected = math.prod(shape)
            if expected > _MAX_BYTES:
                raise BadDataset(
                    f"{path} promises {expected:,} bytes; at most {_MAX_BYTES:,} are read at once"
                )
            body = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise BadDataset(f"cannot read {path}: {error}") from error
    if len(body) != expected:
        held = "more" if len(body) > expected else f"{len(body):,}"
        raise BadDataset(
            f"{path} holds {held} bytes of data; its header promises {expected:,} ({shape})"
        )
    return np.frombuffer(body, np.uint8).reshape(shape)


def write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """Write an array of unsigned bytes as gzip-compressed IDX, the same bytes every time."""
    head = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(head + np.ascontiguousarray(array).tobytes())


def find_idx(directory: Path, part: str) -> tuple[Path, Path] | None:
    """Images and labels file of one part ("train" or "test") in a directory, if it has them."""
    for prefix in _PARTS[part]:
        found = []
        for kind in ("images-idx3", "images-idx4", "labels-idx1"):
            for pattern in (f"{prefix}-{kind}-ubyte", f"*-{prefix}-{kind}-ubyte"):
                found += sorted(directory.glob(pattern)) + sorted(directory.glob(pattern + ".gz"))
        images = [path for path in found if "-images-" in path.name]
        labels = [path for path in found if "-labels-" in path.name]
        if images and labels:
            return images[0], labels[0]
        if images or labels:
            missing = "labels" if images else "images"
            raise BadDataset(
                f"{(images or labels)[0]} has no {missing} file beside it; expected "
                f"{prefix}-{missing}-idx{'1' if images else '3'}-ubyte[.gz]"
            )
    return None


def load_idx(directory: Path, name: str, classes: list[str] | None = None) -> Dataset:
    """Load the IDX files of a directory: train (divided by hash of the id) and test if it is there.

    Raises:
        BadDataset: files are missing, damaged or do not belong together.
    """
    parts: dict[str, Part] = {}
    for part in ("train", "test"):
        if files := find_idx(directory, part):
            parts[part] = _read_part(*files)
    return assemble(name, str(directory), parts, classes)


def _read_part(images_path: Path, labels_path: Path) -> Part:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if len(images) != len(labels):
        raise BadDataset(
            f"{images_path.name} holds {len(images):,} images and {labels_path.name} "
            f"{len(labels):,} labels; expected as many of each"
        )
    return images, labels
