"""From what a person writes after `hemline train` to a data set."""

import os
from pathlib import Path

from hemline_model._contract import InputContract
from hemline_model._data._folder import load_folder
from hemline_model._data._idx import find_idx, load_idx
from hemline_model._data._types import Dataset
from hemline_model._errors import BadDataset
from hemline_model._pretrained import shipped_data

__all__ = ["dataset"]

_FASHION = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
]
_DIGITS = [str(digit) for digit in range(10)]
_IDX_NAMES = {"fashion-mnist": _FASHION, "mnist": _DIGITS}
_SAMPLE = "fashion-mnist-sample"
# Debian's data set packages (dataset-fashion-mnist) install below this directory.
_SYSTEM_DATASETS = Path("/usr/share/datasets")


def dataset(spec: str | os.PathLike[str], contract: InputContract | None = None) -> Dataset:
    """Open a data set.

    `spec` is a path, or the name of a known set: `fashion-mnist-sample` comes with this package (the
    first 10,000 training images and all 10,000 test images); `fashion-mnist` and `mnist` are looked
    for below the directory in `HEMLINE_DATASETS` and among the system's packages. `contract` is the
    shape to bring images of differing sizes to; chosen from the images when not given.

    Raises:
        BadDataset: there is nothing of that name or at that path, or it cannot be read.
    """
    text = os.fspath(spec)
    path = Path(text).expanduser()
    if text == _SAMPLE:
        return load_idx(shipped_data(_SAMPLE), "fashion-mnist", _FASHION)
    if text in _IDX_NAMES and not path.exists():
        return load_idx(_installed(text), text, _IDX_NAMES[text])
    if not path.exists():
        known = ", ".join([_SAMPLE, *_IDX_NAMES])
        raise BadDataset(f"there is no data set at {text!r}; expected a path or one of {known}")
    if not path.is_dir():
        raise BadDataset(f"{text} is a file; expected a folder of classes or of IDX files")
    name = path.resolve().name
    if find_idx(path, "train") or find_idx(path, "test"):
        return load_idx(path, name, _IDX_NAMES.get(name))
    return load_folder(path, name, contract)


def _installed(name: str) -> Path:
    roots = [Path(given)] if (given := os.environ.get("HEMLINE_DATASETS")) else []
    for root in [*roots, _SYSTEM_DATASETS]:
        if (root / name).is_dir():
            return root / name
    raise BadDataset(
        f"{name} is not installed here: install your system's package (Debian: dataset-{name}), or "
        f"put its IDX files into a folder {name} and name the folder above it in HEMLINE_DATASETS"
    )
