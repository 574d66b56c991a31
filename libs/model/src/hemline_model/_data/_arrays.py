"""NumPy files: `.npz` archives, and `.npy` files side by side. Nothing is unpickled."""

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hemline_model._data._assemble import Part, assemble
from hemline_model._data._spool import IN_MEMORY_BYTES, spool_stream
from hemline_model._data._stored import FileImages
from hemline_model._data._types import Dataset, Images
from hemline_model._errors import BadDataset

__all__ = ["find_npy", "load_npy", "load_npz"]

_NAMES = {
    "train": (("x_train", "y_train"), ("images", "labels"), ("x", "y"), ("data", "target")),
    "validation": (("x_val", "y_val"), ("x_validation", "y_validation")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
_PAIRS = {pair: part for part, pairs in _NAMES.items() for pair in pairs}
_IMAGES = {images for images, _ in _PAIRS}
_UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    MemoryError,
    # NumPy reads the header as Python's literals.
    SyntaxError,
    tokenize.TokenError,
    TypeError,
    OverflowError,
    zlib.error,
    zipfile.BadZipFile,
)


def load_npz(
    path: Path,
    name: str,
    classes: list[str] | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Dataset:
    """Load an `.npz` archive; class names may lie in it as `classes`.

    Images beyond `in_memory_bytes` are unpacked to a scratch file and read from there.

    Raises:
        BadDataset: unreadable, or without images and labels under a known name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {
                member.removesuffix(".npy"): _read_member(archive, member, in_memory_bytes)
                for member in archive.namelist()
                if member.endswith(".npy")
            }
    except _UNREADABLE as error:
        if isinstance(error, BadDataset):
            raise
        raise BadDataset(
            f"{path} is no NumPy archive that can be read without unpickling; expected one written "
            "by numpy.savez with plain arrays"
        ) from error
    return _assemble(path, name, arrays, classes)


def find_npy(path: Path) -> dict[str, Path]:
    """The `.npy` files with known names in a folder, or beside the one that `path` is.

    Raises:
        BadDataset: `path` is a file that is no half of a pair, or its other half is missing.
    """
    if path.is_dir():
        found = {file.stem: file for file in sorted(path.glob("*.npy"))}
        whole = any(images in found and labels in found for images, labels in _PAIRS)
        return found if whole else {}
    for images, labels in _PAIRS:
        for prefix in _prefixes(path.stem, images):
            partner = path.with_name(f"{prefix}{labels}.npy")
            if partner.is_file():
                found = {images: path, labels: partner}
                names = path.with_name(f"{prefix}classes.npy")
                return found | ({"classes": names} if names.is_file() else {})
    raise BadDataset(
        f"{path} has no labels beside it; expected a pair such as images.npy and labels.npy, or "
        "x_train.npy and y_train.npy"
    )


def load_npy(
    files: Mapping[str, Path],
    where: Path,
    name: str,
    classes: list[str] | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Dataset:
    """Load `.npy` files by the names that an archive would have for them.

    Images beyond `in_memory_bytes` stay in their file and are read as they are used.

    Raises:
        BadDataset: unreadable, or shapes and labels that do not fit.
    """
    wanted = {name for pair in _PAIRS for name in pair} | {"classes"}
    arrays = {
        key: _read_npy(path, key, in_memory_bytes) for key, path in files.items() if key in wanted
    }
    return _assemble(where, name, arrays, classes)


def _prefixes(stem: str, images: str) -> list[str]:
    """What stands before a known name: "" in "images", "cats_" in "cats_images"."""
    before, found, after = stem.rpartition(images)
    return [before] if found and not after and (not before or before[-1] in "-_.") else []


def _assemble(
    where: Path, name: str, arrays: Mapping[str, Any], classes: list[str] | None
) -> Dataset:
    parts: dict[str, Part] = {}
    for (images, labels), part in _PAIRS.items():
        if images in arrays and labels in arrays:
            parts.setdefault(part, (arrays[images], arrays[labels]))
    if "train" not in parts:
        raise BadDataset(
            f"{where} holds {', '.join(sorted(arrays)) or 'nothing'}; expected x_train and y_train, "
            "or images and labels"
        )
    if "classes" in arrays:
        if arrays["classes"].ndim != 1:
            raise BadDataset(
                f"{where} holds classes of the shape {arrays['classes'].shape}; expected their names "
                "in a row, as many as there are classes"
            )
        classes = [str(label) for label in arrays["classes"].tolist()]
    return assemble(name, str(where), parts, classes)


def _read_npy(path: Path, key: str, in_memory_bytes: int) -> Any:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(mapped, np.lib.npyio.NpzFile):
            mapped.close()
            raise ValueError("an archive")
        large = key in _IMAGES and mapped.nbytes > in_memory_bytes
        if not (large and isinstance(mapped, np.memmap)):
            return np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise BadDataset(
            f"{path} is no NumPy array that can be read without unpickling; expected one written by "
            "numpy.save, complete, with plain numbers"
        ) from error
    shape = _check_large(str(path), mapped.shape, mapped.dtype, mapped.flags.c_contiguous)
    return FileImages.open(path, shape, mapped.offset)


def _read_member(archive: zipfile.ZipFile, member: str, in_memory_bytes: int) -> Any:
    with archive.open(member) as stream:
        if member.removesuffix(".npy") in _IMAGES and (
            archive.getinfo(member).file_size > in_memory_bytes
        ):
            return _unpack(stream, f"{archive.filename}: {member}", in_memory_bytes)
        return np.lib.format.read_array(stream, allow_pickle=False)


def _unpack(stream: Any, where: str, in_memory_bytes: int) -> Images:
    version = np.lib.format.read_magic(stream)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    found, fortran, dtype = read(stream)
    shape = _check_large(where, found, dtype, not fortran)
    return spool_stream(stream, shape, where, in_memory_bytes)


def _check_large(
    where: str, shape: tuple[int, ...], dtype: np.dtype[Any], in_order: bool
) -> tuple[int, ...]:
    fits = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    if dtype != np.uint8 or not fits or not in_order:
        raise BadDataset(
            f"{where} holds {dtype} values of the shape {shape}{'' if in_order else ', by columns'}; "
            "expected uint8, N x height x width[ x 1 or 3], in C order, for images that are read as "
            "they are used"
        )
    return shape if len(shape) == 4 else (*shape, 1)
