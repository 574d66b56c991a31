"""IDX files, the format of MNIST and its relatives, gzip-compressed or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hemline_model._contract import InputContract
from hemline_model._data._types import Dataset, Split
from hemline_model._errors import BadDataset
from hemline_model._split import split_of

__all__ = ["find_idx", "load_idx", "read_idx", "split_by_name", "write_idx"]

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

    Ids are `<name>-train-00042` and `<name>-test-00042`, the number being the position in the file.

    Raises:
        BadDataset: files are missing, damaged or do not belong together.
    """
    splits: dict[str, Split] = {}
    highest = 0
    for part in ("train", "test"):
        files = find_idx(directory, part)
        if files is None:
            continue
        whole = _read_part(*files, name=f"{name}-{part}")
        highest = max(highest, int(whole.labels.max(initial=0)))
        splits |= split_by_name(whole) if part == "train" else {"test": whole}
    if not splits:
        raise BadDataset(
            f"{directory} holds no IDX files; expected train-images-idx3-ubyte[.gz] and "
            "train-labels-idx1-ubyte[.gz]"
        )
    shapes = {split.images[:1].shape[1:] for split in splits.values()}
    if len(shapes) > 1:
        raise BadDataset(f"{directory}: train and test images differ in shape: {sorted(shapes)}")
    names = classes or [str(number) for number in range(highest + 1)]
    if highest >= len(names):
        raise BadDataset(f"{directory} has label {highest}; expected 0 to {len(names) - 1}")
    height, width, channels = shapes.pop()
    contract = InputContract.model_validate(
        {"height": height, "width": width, "channels": channels}
    )
    return Dataset(name, names, contract, splits)


def split_by_name(whole: Split) -> dict[str, Split]:
    """Divide samples into train and validation by the hash of their ids."""
    sides = np.array([split_of(sample_id) == "validation" for sample_id in whole.ids], bool)
    result = {}
    for name, mask in (("train", ~sides), ("validation", sides)):
        rows = np.flatnonzero(mask)
        ids = [whole.ids[row] for row in rows.tolist()]
        result[name] = Split(ids, whole.labels[rows], whole.images[rows])
    return result


def _read_part(images_path: Path, labels_path: Path, *, name: str) -> Split:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise BadDataset(
            f"{images_path} has the shape {images.shape}; expected N x height x width[ x 1 or 3]"
        )
    if labels.ndim != 1:
        raise BadDataset(f"{labels_path} has the shape {labels.shape}; expected one dimension")
    if len(images) != len(labels):
        raise BadDataset(
            f"{images_path.name} holds {len(images):,} images and {labels_path.name} "
            f"{len(labels):,} labels; expected as many of each"
        )
    if not len(images):
        raise BadDataset(f"{images_path} holds no images")
    ids = [f"{name}-{number:05d}" for number in range(len(images))]
    return Split(ids, labels.astype(np.int64), images)
