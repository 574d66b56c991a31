"""One folder per class, images of any size and format inside, nested as deep as they are."""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hemline_model._contract import InputContract
from hemline_model._data._types import Dataset, LazyImages, Problem, Split
from hemline_model._decode import ImageArray, decode
from hemline_model._errors import BadDataset, BadImage
from hemline_model._split import split_of

__all__ = ["Entry", "choose_contract", "load_entries", "load_folder"]

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".npy"}
_SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
_LARGEST_SIDE = 96
_LOOKED_AT = 200
_IN_MEMORY_BYTES = 512 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One image file, the name of its class, and its split where the layout names one."""

    id: str
    path: Path
    label: str
    split: str | None = None


def load_folder(root: Path, name: str, contract: InputContract | None = None) -> Dataset:
    """Load `root/<class>/**/image`, or `root/<split>/<class>/**/image` with a test split of its own.

    An image's id is its path below `root`. Without split folders, one image in ten (by hash of its
    id) is kept for validation. Files that are no images are listed in `problems` and left out.

    Raises:
        BadDataset: fewer than two classes, or no readable images.
    """
    return load_entries(_walk(root), name, str(root), contract)


def load_entries(
    entries: Iterable[Entry],
    name: str,
    where: str,
    contract: InputContract | None = None,
    classes: list[str] | None = None,
) -> Dataset:
    """Make a data set of image files; the input shape is chosen from the images unless given.

    Raises:
        BadDataset: fewer than two classes, or no readable images.
    """
    problems: list[Problem] = []
    readable = [entry for entry in entries if _has_header(entry, problems)]
    counts = Counter(entry.label for entry in readable if entry.split != "test")
    names = classes or sorted(counts, key=_natural)
    if len(names) < 2:
        found = "1 class" if names else "no classes"
        raise BadDataset(
            f"{where} holds {found} with readable images; expected at least 2, each a folder with "
            "its images inside"
        )
    for label in names:
        if counts[label] < 2:
            problems.append(Problem(label, f"the class has {counts[label]} images to learn from"))
    index = {label: number for number, label in enumerate(names)}
    kept = []
    for entry in readable:
        if entry.label in index:
            kept.append(entry)
        else:
            problems.append(Problem(entry.id, f"class {entry.label!r} is not in the train split"))
    chosen = contract or choose_contract([entry.path for entry in kept])
    given = {entry.split for entry in kept}
    splits = {}
    for split in ("train", "validation", "test"):
        mine = [e for e in kept if _side(e, "validation" in given) == split]
        if mine:
            splits[split] = _make_split(mine, index, chosen, problems)
    if "train" not in splits or "validation" not in splits:
        raise BadDataset(
            f"{where} holds {len(kept)} readable images: too few to keep any for validation; "
            "expected some tens for each class"
        )
    return Dataset(name, names, chosen, splits, problems)


def choose_contract(paths: list[Path]) -> InputContract:
    """Choose an input shape: the median size, at most 96 pixels a side, grey only if all are.

    Sides above 32 are rounded to a multiple of 8.
    """
    sizes, colour = [], False
    step = max(1, len(paths) // _LOOKED_AT)
    for path in paths[::step]:
        width, height, has_colour = _measure(path)
        sizes.append((height, width))
        colour = colour or has_colour
    tall, wide = (float(side) for side in np.median(np.array(sizes), axis=0))
    scale = min(1.0, _LARGEST_SIDE / max(tall, wide))
    return InputContract(
        height=_round(tall * scale), width=_round(wide * scale), channels=3 if colour else 1
    )


def _round(side: float) -> int:
    return max(8, round(side) if side <= 32 else 8 * round(side / 8))


def _measure(path: Path) -> tuple[int, int, bool]:
    if path.suffix.lower() == ".npy":
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        return shape[1], shape[0], len(shape) == 3 and shape[2] > 1
    with Image.open(path) as image:
        width, height = image.size
        if image.getexif().get(0x0112, 1) in (5, 6, 7, 8):
            width, height = height, width
        if image.mode in ("1", "L", "LA", "I", "I;16", "F"):
            return width, height, False
        if image.format == "JPEG":
            image.draft("RGB", (64, 64))
        small = np.asarray(image.convert("RGB").resize((16, 16))).astype(np.int16)
    # A grey picture is often stored as RGB; a few grey levels of difference are JPEG's rounding.
    return width, height, bool((small.max(axis=2) - small.min(axis=2)).max() > 12)


def _walk(root: Path) -> list[Entry]:
    top = sorted((p for p in root.iterdir() if p.is_dir() and not _hidden(p)), key=_natural_path)
    layout = {p: _SPLITS[p.name.lower()] for p in top if p.name.lower() in _SPLITS}
    entries: list[Entry] = []
    if "train" in layout.values():
        for folder, split in layout.items():
            for class_folder in sorted(p for p in folder.iterdir() if p.is_dir()):
                entries += _files(class_folder, root, split)
    else:
        for class_folder in top:
            entries += _files(class_folder, root, None)
    return entries


def _files(class_folder: Path, root: Path, split: str | None) -> list[Entry]:
    found = []
    for directory, folders, files in os.walk(class_folder):
        folders.sort()
        for file in sorted(files):
            path = Path(directory, file)
            if not _hidden(path):
                found.append(Entry(str(path.relative_to(root)), path, class_folder.name, split))
    return found


def _hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX")) or path.name in {"Thumbs.db", "desktop.ini"}


def _has_header(entry: Entry, problems: list[Problem]) -> bool:
    if entry.path.suffix.lower() not in _SUFFIXES:
        problems.append(Problem(entry.id, "not a PNG, JPEG, WebP or .npy file; left out"))
        return False
    try:
        if entry.path.stat().st_size == 0:
            problems.append(Problem(entry.id, "the file is empty (0 bytes); left out"))
            return False
        _measure(entry.path)
    except (OSError, ValueError, SyntaxError, IndexError, Image.DecompressionBombError) as error:
        first = str(error).split("\n", 1)[0][:120]
        problems.append(Problem(entry.id, f"cannot be read ({first}); left out"))
        return False
    return True


def _side(entry: Entry, validation_given: bool) -> str:
    if entry.split == "test" or (entry.split == "validation" and validation_given):
        return entry.split
    return "train" if validation_given else split_of(entry.id)


def _make_split(
    entries: list[Entry], index: dict[str, int], contract: InputContract, problems: list[Problem]
) -> Split:
    lazy = LazyImages(len(entries), contract, lambda row: decode_file(entries[row].path, contract))
    rows = np.arange(len(entries))
    images: ImageArray | LazyImages = lazy
    if len(entries) * contract.num_bytes <= _IN_MEMORY_BYTES:
        images, good = _decode_all(entries, contract, problems)
        rows = rows[good]
    ids = [entries[row].id for row in rows]
    labels = np.array([index[entries[row].label] for row in rows], np.int64)
    return Split(ids, labels, images)


def _decode_all(
    entries: list[Entry], contract: InputContract, problems: list[Problem]
) -> tuple[ImageArray, list[int]]:
    images = np.empty((len(entries), *contract.shape), np.uint8)
    good: list[int] = []
    for row, entry in enumerate(entries):
        try:
            images[len(good)] = decode_file(entry.path, contract)
        except BadImage as error:
            problems.append(Problem(entry.id, f"{error}; left out"))
        else:
            good.append(row)
    return images[: len(good)], good


def decode_file(path: Path, contract: InputContract) -> ImageArray:
    """Read and decode one image file."""
    try:
        return decode(path.read_bytes(), contract)
    except OSError as error:
        raise BadImage(f"cannot read {path}: {error.strerror}") from error


def _natural(label: str) -> tuple[int, int, str]:
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)


def _natural_path(path: Path) -> tuple[int, int, str]:
    return _natural(path.name)
