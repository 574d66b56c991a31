"""From what a person writes after `hemline train` to a data set."""

import os
from pathlib import Path

from hemline_model._contract import InputContract
from hemline_model._data._cifar import is_cifar, load_cifar
from hemline_model._data._folder import load_folder
from hemline_model._data._idx import find_idx, load_idx
from hemline_model._data._npz import load_npz
from hemline_model._data._table import load_table
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
_SAMPLE = "fashion-mnist-sample"
# Where each known data set may lie below a directory of data sets: packages, Keras's own cache.
_KNOWN = {
    "fashion-mnist": ("fashion-mnist",),
    "mnist": ("mnist", "mnist.npz"),
    "cifar10": ("cifar10", "cifar-10-batches-bin", "cifar-10-batches-py"),
    "cifar100": ("cifar100", "cifar-100-binary", "cifar-100-python"),
}
_CLASSES = {"fashion-mnist": _FASHION}
# Debian's data set packages (dataset-fashion-mnist) install below this directory.
_SYSTEM_DATASETS = Path("/usr/share/datasets")


def dataset(spec: str | os.PathLike[str], contract: InputContract | None = None) -> Dataset:
    """Open a data set.

    `spec` is a path: a folder with one folder per class, a folder of IDX files or of CIFAR batches,
    an `.npz` archive, or a `.csv` that names images. Or the name of a known set:
    `fashion-mnist-sample` comes with this package (the first 10,000 training images and all 10,000
    test images); `fashion-mnist`, `mnist`, `cifar10` and `cifar100` are looked for below the
    directory in `HEMLINE_DATASETS`, among the system's packages and in Keras's cache; nothing is
    downloaded. `contract` is the shape to bring images of differing sizes to; chosen from the
    images when not given.

    Raises:
        BadDataset: there is nothing of that name or at that path, or it cannot be read.
    """
    text = os.fspath(spec)
    path = Path(text).expanduser()
    if text == _SAMPLE:
        return load_idx(shipped_data(_SAMPLE), "fashion-mnist", _FASHION)
    if text in _KNOWN and not path.exists():
        return _open_path(_installed(text), text, contract)
    if not path.exists():
        known = ", ".join([_SAMPLE, *_KNOWN])
        raise BadDataset(f"there is no data set at {text!r}; expected a path or one of {known}")
    return _open_path(path, path.resolve().name.removesuffix(path.suffix), contract)


def _open_path(path: Path, name: str, contract: InputContract | None) -> Dataset:
    if path.is_file():
        if path.suffix == ".npz":
            return load_npz(path, name, _CLASSES.get(name))
        if path.suffix == ".csv":
            return load_table(path, name, contract)
        raise BadDataset(
            f"{path} is a {path.suffix or 'plain'} file; expected a folder of classes, IDX files or "
            "CIFAR batches, or an .npz or .csv file"
        )
    if find_idx(path, "train") or find_idx(path, "test"):
        return load_idx(path, name, _CLASSES.get(name))
    if is_cifar(path):
        return load_cifar(path, name)
    return load_folder(path, name, contract)


def _installed(name: str) -> Path:
    roots = [Path(given)] if (given := os.environ.get("HEMLINE_DATASETS")) else []
    keras_home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    for root in [*roots, _SYSTEM_DATASETS, keras_home / "datasets"]:
        for place in _KNOWN[name]:
            if (root / place).exists():
                return root / place
    raise BadDataset(
        f"{name} is not installed here: put its files into a folder {name} and name the folder above "
        "it in HEMLINE_DATASETS, or let Keras fetch it once "
        f"(python -c 'import keras; keras.datasets.{name.replace('-', '_')}.load_data()')"
    )
