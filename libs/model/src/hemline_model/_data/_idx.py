"""IDX files, the format of MNIST and its relatives, gzip-compressed or not."""

import gzip
import math
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hemline_model._data._assemble import Part, assemble
from hemline_model._data._spool import IN_MEMORY_BYTES, spool_stream
from hemline_model._data._types import Dataset, Images
from hemline_model._errors import BadDataset

__all__ = ["IdxSet", "find_idx", "load_idx", "read_idx", "write_idx"]

_MAX_LABEL_BYTES = 1 << 30
_FILE = re.compile(
    r"(?:(?P<set>.+)-)?(?P<part>train|t10k|test)-(?P<kind>images|labels)-idx[134]-ubyte(?:\.gz)?"
)
_OTHER = {"images": "labels", "labels": "images"}
_EMNIST = "emnist"


@dataclass(frozen=True, slots=True)
class IdxSet:
    """The IDX files of one set in a directory: by part ("train", "test") and kind of content."""

    directory: Path
    name: str
    """What the file names begin with, such as "emnist-letters"; empty for MNIST's own."""
    files: Mapping[tuple[str, str], Path]

    @property
    def is_emnist(self) -> bool:
        """Whether the pictures lie on their side, as EMNIST's do, and a mapping names the classes."""
        return self.name.startswith(_EMNIST)


def read_idx(path: Path, in_memory_bytes: int = _MAX_LABEL_BYTES) -> npt.NDArray[np.uint8] | Images:
    """Read one IDX file of unsigned bytes: an array, or images in a scratch file beyond the bound.

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
            if expected > in_memory_bytes:
                if num_dimensions < 3:
                    raise BadDataset(f"{path} promises {expected:,} bytes of labels")
                whole = shape if num_dimensions == 4 else (*shape, 1)
                return spool_stream(file, whole, str(path), in_memory_bytes)
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


def find_idx(place: Path) -> IdxSet | None:
    """The IDX files of a folder, or those that begin with a name in a folder (`folder/name`).

    Raises:
        BadDataset: several sets lie there and none was named, or one half of a pair is missing.
    """
    directory, wanted = (place, None) if place.is_dir() else (place.parent, place.name)
    sets: dict[str, dict[tuple[str, str], Path]] = {}
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        match = _FILE.fullmatch(path.name)
        if match and (wanted is None or match["set"] == wanted):
            part = "train" if match["part"] == "train" else "test"
            # Of a file and its compressed twin the plain one comes first.
            sets.setdefault(match["set"] or "", {}).setdefault((part, match["kind"]), path)
    if len(sets) > 1:
        named = ", ".join(name or "(no name)" for name in sorted(sets))
        raise BadDataset(
            f"{directory} holds several sets of IDX files: {named}; name one of them, like "
            f"{directory / max(sets)}"
        )
    for name, files in sets.items():
        for (part, kind), path in files.items():
            if (part, _OTHER[kind]) not in files:
                plain = path.name.removesuffix(".gz").rpartition(f"-{kind}-")[0]
                number = "1" if kind == "images" else "3"
                raise BadDataset(
                    f"{path} has no {_OTHER[kind]} file beside it; expected "
                    f"{plain}-{_OTHER[kind]}-idx{number}-ubyte[.gz]"
                )
        return IdxSet(directory, name, files)
    return None


def load_idx(
    found: IdxSet,
    name: str,
    classes: list[str] | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Dataset:
    """Load a set of IDX files: train (divided by hash of the id) and test if it is there.

    EMNIST's pictures are turned upright, and its classes named by `<set>-mapping.txt` beside them.

    Raises:
        BadDataset: files are damaged or do not belong together.
    """
    parts = {
        part: _read_part(found, part, in_memory_bytes)
        for part in ("train", "test")
        if (part, "images") in found.files
    }
    mapping = found.directory / f"{found.name}-mapping.txt"
    if found.is_emnist and mapping.is_file():
        numbers = _read_mapping(mapping)
        classes = list(numbers.values())
        parts = {
            part: (images, _name_labels(labels, numbers, mapping))
            for part, (images, labels) in parts.items()
        }
    return assemble(name, str(found.directory), parts, classes)


def _read_part(found: IdxSet, part: str, in_memory_bytes: int) -> Part:
    images_path, labels_path = found.files[part, "images"], found.files[part, "labels"]
    # Turning them needs them whole; the largest set of EMNIST's is 0.6 GB.
    bound = _MAX_LABEL_BYTES if found.is_emnist else in_memory_bytes
    images, labels = read_idx(images_path, bound), read_idx(labels_path)
    if len(images) != len(labels):
        raise BadDataset(
            f"{images_path.name} holds {len(images):,} images and {labels_path.name} "
            f"{len(labels):,} labels; expected as many of each"
        )
    if found.is_emnist and isinstance(images, np.ndarray) and images.ndim == 3:
        images = images.transpose(0, 2, 1)
    return images, np.asarray(labels)


def _read_mapping(path: Path) -> dict[int, str]:
    """Class names by label, of lines such as "36 97" or "1 65 97" (label, code points)."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        rows = [[int(number) for number in line.split()] for line in lines if line.strip()]
        names = {label: "".join(map(chr, codes)) for label, *codes in rows}
    except (OSError, ValueError, OverflowError) as error:
        raise BadDataset(f"cannot read {path}: {error}") from error
    if not names or not all(names.values()) or len(set(names.values())) < len(rows):
        raise BadDataset(f"{path} is no mapping; expected a label and code points on each line")
    return names


def _name_labels(
    labels: npt.NDArray[np.integer], names: Mapping[int, str], mapping: Path
) -> npt.NDArray[np.str_]:
    unknown = sorted(set(np.unique(labels).tolist()) - set(names))
    if unknown:
        raise BadDataset(f"{mapping} has no class for the label {unknown[0]}")
    return np.array([names[label] for label in labels.tolist()], np.str_)
