"""From what a person writes after `hemline train` to a data set."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hemline_model._contract import InputContract
from hemline_model._data._arrays import find_npy, load_npy, load_npz
from hemline_model._data._cifar import is_cifar, load_cifar
from hemline_model._data._folder import load_folder
from hemline_model._data._idx import find_idx, load_idx
from hemline_model._data._reading import Reading
from hemline_model._data._resize import resize
from hemline_model._data._spool import IN_MEMORY_BYTES
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
    "cifar10": (
        "cifar10",
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        "cifar-10-batches-py-target/cifar-10-batches-py",
    ),
    "cifar100": (
        "cifar100",
        "cifar-100-binary",
        "cifar-100-python",
        "cifar-100-python-target/cifar-100-python",
    ),
} | {
    f"emnist-{kind}": (f"emnist/emnist-{kind}", f"emnist-{kind}", f"gzip/emnist-{kind}")
    for kind in ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
}
_CLASSES = {"fashion-mnist": _FASHION}
_CHARACTERS = ("mnist", "emnist")
# Debian's data set packages (dataset-fashion-mnist) install below this directory.
_SYSTEM_DATASETS = Path("/usr/share/datasets")


def dataset(
    spec: str | os.PathLike[str],
    contract: InputContract | None = None,
    *,
    classes: Sequence[str] | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
    on_read: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Open a data set.

    `spec` is a path: a folder with one folder per class, a folder of IDX files, of CIFAR batches or
    of `.npy` arrays, an `.npz` archive, one of a pair of `.npy` arrays, or a `.csv` that names
    images. Or the name of a known set: `fashion-mnist-sample` comes with this package (the first
    10,000 training images and all 10,000 test images); `fashion-mnist`, `mnist`, `emnist-letters`
    and its kin, `cifar10` and `cifar100` are looked for below the directory in `HEMLINE_DATASETS`,
    among the system's packages and in Keras's cache; nothing is downloaded. `contract` is the shape
    to bring images to; when not given, that of the arrays, or one chosen from the image files.
    `classes` are those of a model to judge: a folder or `.csv` with images of some of them only, or
    few, is then enough.
    A split whose pixels take more than `in_memory_bytes` is read from a file as it is used: the
    `.npy` itself, or a scratch file in `TMPDIR` that everything else is decoded to once.
    `on_read(done, all)` is called for each image file.

    Raises:
        BadDataset: there is nothing of that name or at that path, or it cannot be read.
    """
    how = Reading(contract, classes, in_memory_bytes, on_read)

    def open_path(path: Path, name: str) -> Dataset:
        found = _load_path(path, name, how)
        if contract is not None:
            found = resize(found, contract, in_memory_bytes)
        return dataclasses.replace(found, mirrored=not name.lower().startswith(_CHARACTERS))

    text = os.fspath(spec)
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises for ~nobody
    a_model = (path / "card.json").is_file()
    if text == _SAMPLE:
        return open_path(shipped_data(_SAMPLE), "fashion-mnist")
    # `--out fashion-mnist` makes a folder of that name, which is not what is meant here.
    if text in _KNOWN and (a_model or not path.exists()):
        return open_path(_installed(text), text)
    if a_model:
        raise BadDataset(
            f"{path} is a model directory, not a data set; expected the images to learn from or to "
            "judge by (a model goes after --model or --weights)"
        )
    if not path.exists() and not find_idx(path):
        known = ", ".join([_SAMPLE, *_KNOWN])
        raise BadDataset(f"there is no data set at {text!r}; expected a path or one of {known}")
    name = path.resolve().name.removesuffix(path.suffix)
    return open_path(path, name)


def _load_path(path: Path, name: str, how: Reading) -> Dataset:
    known, in_memory = _CLASSES.get(name), how.in_memory_bytes
    if path.is_file():
        if path.suffix == ".npz":
            return load_npz(path, name, known, in_memory)
        if path.suffix == ".npy":
            return load_npy(find_npy(path), path, name, known, in_memory)
        if path.suffix == ".csv":
            return load_table(path, name, how)
        raise BadDataset(
            f"{path} is a {path.suffix or 'plain'} file; expected a folder of classes, IDX files, "
            "CIFAR batches or .npy arrays, or an .npz, .npy or .csv file"
        )
    if idx := find_idx(path):
        return load_idx(idx, name, known, in_memory)
    if is_cifar(path):
        return load_cifar(path, name)
    if arrays := find_npy(path):
        return load_npy(arrays, path, name, known, in_memory)
    return load_folder(path, name, how)


def _installed(name: str) -> Path:
    roots = [Path(given)] if (given := os.environ.get("HEMLINE_DATASETS")) else []
    keras_home = Path(os.path.expanduser(os.environ.get("KERAS_HOME", "~/.keras")))  # noqa: PTH111
    for root in [*roots, _SYSTEM_DATASETS, keras_home / "datasets"]:
        for place in _KNOWN[name]:
            if (root / place).exists() or find_idx(root / place):
                return root / place
    fetch = (
        "get its gzip.zip from NIST"
        if name.startswith("emnist")
        else "let Keras fetch it once (python -c 'import keras; "
        f"keras.datasets.{name.replace('-', '_')}.load_data()')"
    )
    raise BadDataset(
        f"{name} is not installed here: put its files into a folder {_KNOWN[name][0].split('/')[0]} "
        f"and name the folder above it in HEMLINE_DATASETS, or {fetch}"
    )
