"""A CSV file that names image files and their classes."""

import contextlib
import csv
from pathlib import Path

from hemline_model._data._folder import Entry, load_entries
from hemline_model._data._reading import Reading
from hemline_model._data._text import one_line
from hemline_model._data._types import Dataset
from hemline_model._errors import BadDataset

__all__ = ["load_table"]

_IMAGE = ("image", "path", "file", "filename", "file_name", "image_path")
_LABEL = ("label", "class", "class_name", "category", "target")
_SPLIT_NAMES = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def load_table(path: Path, name: str, how: Reading) -> Dataset:
    """Load a CSV file with a header: an image column (paths relative to the file), a label column,
    and optionally `split` (train, validation, test).

    Raises:
        BadDataset: unreadable, a column is missing, or a path leads out of the CSV file's folder.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = {(column or "").strip().lower(): column for column in reader.fieldnames or []}
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadDataset(f"cannot read {path}: {one_line(error)}") from error
    image, label = _column(path, columns, _IMAGE), _column(path, columns, _LABEL)
    split = columns.get("split")
    root = path.parent.resolve()
    entries = []
    for number, row in enumerate(rows, start=2):
        file_name, label_name = (row[image] or "").strip(), (row[label] or "").strip()
        if not file_name or not label_name:
            raise BadDataset(f"{path}, line {number}: the image or the label is empty")
        target = root / file_name
        # No file has a name with a null in it, and links that lead in a circle (the error) none at
        # their end: reading it fails, and is listed, as with any other file.
        if "\0" not in file_name:
            with contextlib.suppress(RuntimeError):
                target = target.resolve()
        if not target.is_relative_to(root):
            raise BadDataset(
                f"{path}, line {number}: {file_name!r} is outside the CSV file's folder; expected "
                "a path below it"
            )
        side = (row[split] or "").strip().lower() if split else ""
        if side and side not in _SPLIT_NAMES:
            raise BadDataset(
                f"{path}, line {number}: split is {side!r}; expected train, validation or test"
            )
        entries.append(Entry(file_name, target, label_name, _SPLIT_NAMES.get(side)))
    return load_entries(
        entries, name, str(path), how, classes_are=f"each the {label} of some of the images"
    )


def _column(path: Path, columns: dict[str, str], accepted: tuple[str, ...]) -> str:
    for name in accepted:
        if name in columns:
            return columns[name]
    found = ", ".join(columns) or "no header"
    raise BadDataset(
        f"{path} has the columns {one_line(found)}; expected one called {' or '.join(accepted)}"
    )
