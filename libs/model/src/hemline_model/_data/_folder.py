"""One folder per class, images of any size and format inside, nested as deep as they are."""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from hemline_model._contract import InputContract
from hemline_model._data._assemble import natural_order
from hemline_model._data._measure import choose_contract
from hemline_model._data._reading import Reading, quiet_pillow
from hemline_model._data._spool import Spool
from hemline_model._data._text import printable
from hemline_model._data._types import Dataset, Problem, Split, check_classes, first_of
from hemline_model._decode import ImageArray, decode
from hemline_model._errors import BadDataset, BadImage
from hemline_model._split import split_of

__all__ = ["SUFFIXES", "Entry", "load_entries", "load_folder"]

_FOLDERS = "each a folder with its images inside"
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".npy"}
_SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One image file, the name of its class, and its split where the layout names one."""

    id: str
    path: Path
    label: str
    split: str | None = None


def load_folder(root: Path, name: str, how: Reading) -> Dataset:
    """Load `root/<class>/**/image`, or `root/<split>/<class>/**/image` with a test split of its own.

    A folder `train` alone beside others that hold images is a class of that name. An image's id is
    its path below `root`. Without split folders, one image in ten (by hash of its id) is kept for
    validation. Files that are no images are listed in `problems` and left out; hidden files and
    folders are not looked at.

    Raises:
        BadDataset: fewer than two classes, or no readable images.
    """
    entries, problems = _walk(root)
    return load_entries(entries, name, str(root), how, problems)


def load_entries(
    entries: Iterable[Entry],
    name: str,
    where: str,
    how: Reading,
    known_problems: Iterable[Problem] = (),
    classes_are: str = _FOLDERS,
) -> Dataset:
    """Make a data set of image files.

    Every file is decoded once, here, so that one which cannot be is found before the training.
    `classes_are` tells whoever has too few of them how they are given.

    Raises:
        BadDataset: fewer than two classes, or no readable images.
    """
    problems = list(known_problems)
    with quiet_pillow():
        readable = [entry for entry in entries if _has_header(entry, problems)]
    counts = Counter(entry.label for entry in readable if entry.split != "test")
    names = list(how.classes or sorted(counts, key=natural_order))
    if len(names) < 2:
        found = "1 class" if names else "no classes"
        raise BadDataset(
            f"{where} holds {found} with readable images; expected at least 2, {classes_are}"
            f"{first_of(problems)}"
        )
    check_classes(where, names)
    for label in names if how.classes is None else ():
        if counts[label] < 2:
            problems.append(Problem(label, f"the class has {counts[label]} images to learn from"))
    index = {label: number for number, label in enumerate(names)}
    kept = []
    for entry in readable:
        if entry.label in index:
            kept.append(entry)
        else:
            of = "the model" if how.classes else "the train split"
            problems.append(Problem(entry.id, f"class {entry.label!r} is not in {of}; left out"))
    chosen = how.contract or choose_contract([entry.path for entry in kept])
    read = _count_up(how, len(kept))
    given = {entry.split for entry in kept}
    splits = {}
    for split in ("train", "validation", "test"):
        mine = [e for e in kept if _side(e, "validation" in given) == split]
        if mine:
            spool = Spool(chosen.shape, how.in_memory_bytes, expected=len(mine))
            splits[split] = _make_split(map(read, mine), index, chosen, problems, spool)
    if how.classes is not None and not any(map(len, splits.values())):
        raise BadDataset(
            f"{where} holds no readable images of {', '.join(names[:5])}, …{first_of(problems)}"
        )
    sizes = [len(splits.get(part, ())) for part in ("train", "validation")]
    if how.classes is None and not all(sizes):
        raise BadDataset(
            f"{where} holds {len(kept)} readable images: too few to keep any for validation; "
            f"expected some tens for each class{first_of(problems)}"
        )
    return Dataset(printable(name), names, chosen, splits, problems)


def _walk(root: Path) -> tuple[list[Entry], list[Problem]]:
    top = sorted(_folders(root), key=lambda p: natural_order(p.name))
    layout = {p: _SPLITS[p.name.lower()] for p in top if p.name.lower() in _SPLITS}
    splits = set(layout.values())
    beside = [p for p in top if p not in layout and _holds_images(p)] if "train" in splits else []
    # One folder called train among others is more likely a vehicle than half of a division.
    if "train" not in splits or (beside and len(splits) == 1):
        return [entry for folder in top for entry in _files(folder, root, None)], []
    entries = [
        entry
        for folder, split in layout.items()
        for class_folder in sorted(_folders(folder))
        for entry in _files(class_folder, root, split)
    ]
    left_out = "no split (train, validation or test), though it lies beside some; left out"
    return entries, [Problem(printable(folder.name), left_out) for folder in beside]


def _folders(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_dir() and not _hidden(path)]


def _holds_images(folder: Path) -> bool:
    return any(e.path.suffix.lower() in SUFFIXES for e in _files(folder, folder, None))


def _files(class_folder: Path, root: Path, split: str | None) -> list[Entry]:
    found = []
    for directory, folders, files in os.walk(class_folder):
        folders[:] = sorted(name for name in folders if not _hidden(Path(name)))
        for file in sorted(files):
            path = Path(directory, file)
            if not _hidden(path):
                name, label = str(path.relative_to(root)), class_folder.name
                found.append(Entry(printable(name), path, printable(label), split))
    return found


def _hidden(path: Path) -> bool:
    return path.name.startswith((".", "__MACOSX")) or path.name in {"Thumbs.db", "desktop.ini"}


def _has_header(entry: Entry, problems: list[Problem]) -> bool:
    if entry.path.suffix.lower() not in SUFFIXES:
        problems.append(Problem(entry.id, "not a PNG, JPEG, WebP or .npy file; left out"))
        return False
    try:
        if entry.path.stat().st_size == 0:
            problems.append(Problem(entry.id, "the file is empty (0 bytes); left out"))
            return False
        if entry.path.suffix.lower() != ".npy":
            with Image.open(entry.path):
                pass
    except (OSError, ValueError, SyntaxError, IndexError, Image.DecompressionBombError) as error:
        problems.append(Problem(entry.id, f"cannot be read ({_reason(error)}); left out"))
        return False
    return True


def _reason(error: Exception) -> str:
    """What is wrong with a file, without its path: a report is passed on, folders are not."""
    if isinstance(error, UnidentifiedImageError):
        return "its content is no image of a known format"
    told = getattr(error, "strerror", None) or str(error)
    return told.split("\n", 1)[0][:120]


def _side(entry: Entry, validation_given: bool) -> str:
    if entry.split == "test" or (entry.split == "validation" and validation_given):
        return entry.split
    return "train" if validation_given else split_of(entry.id)


def _count_up(how: Reading, total: int) -> Callable[[Entry], Entry]:
    """Passes entries on, and tells that one more is being read."""
    numbers = itertools.count(1)

    def count(entry: Entry) -> Entry:
        if how.on_read is not None:
            how.on_read(next(numbers), total)
        return entry

    return count


def _make_split(
    entries: Iterable[Entry],
    index: Mapping[str, int],
    contract: InputContract,
    problems: list[Problem],
    spool: Spool,
) -> Split:
    ids, labels = [], []
    for entry in entries:
        try:
            spool.append(_decode_file(entry.path, contract))
        except BadImage as error:
            problems.append(Problem(entry.id, f"{error}; left out"))
        else:
            ids.append(entry.id)
            labels.append(index[entry.label])
    return Split(ids, np.array(labels, np.int64), spool.images())


def _decode_file(path: Path, contract: InputContract) -> ImageArray:
    try:
        return decode(path.read_bytes(), contract)
    except OSError as error:
        raise BadImage(f"cannot read {path.name}: {_reason(error)}") from error
