"""NumPy archives: `x_train`, `y_train`, `x_test`, `y_test` as Keras writes them, or one pair."""

import zipfile
from pathlib import Path

import numpy as np

from hemline_model._data._assemble import Part, assemble
from hemline_model._data._types import Dataset
from hemline_model._errors import BadDataset

__all__ = ["load_npz"]

_NAMES = {
    "train": (("x_train", "y_train"), ("images", "labels"), ("x", "y"), ("data", "target")),
    "validation": (("x_val", "y_val"), ("x_validation", "y_validation")),
    "test": (("x_test", "y_test"),),
}


def load_npz(path: Path, name: str, classes: list[str] | None = None) -> Dataset:
    """Load an `.npz` archive; class names may lie in it as `classes`. Nothing is unpickled.

    Raises:
        BadDataset: unreadable, or without images and labels under a known name.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise BadDataset(
            f"{path} is no NumPy archive that can be read without unpickling; expected one written "
            "by numpy.savez with plain arrays"
        ) from error
    parts: dict[str, Part] = {}
    for part, pairs in _NAMES.items():
        for images, labels in pairs:
            if images in arrays and labels in arrays:
                parts.setdefault(part, (arrays[images], arrays[labels]))
    if "train" not in parts:
        raise BadDataset(
            f"{path} holds {', '.join(sorted(arrays)) or 'nothing'}; expected x_train and y_train, "
            "or images and labels"
        )
    if "classes" in arrays:
        classes = [str(label) for label in arrays["classes"].tolist()]
    return assemble(name, str(path), parts, classes)
