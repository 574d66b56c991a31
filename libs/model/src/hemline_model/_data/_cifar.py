"""CIFAR-10 and CIFAR-100, binary or Python batches; nothing in a batch is executed."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemline_model._data._assemble import Part, assemble
from hemline_model._data._text import one_line, printable
from hemline_model._data._types import Dataset
from hemline_model._errors import BadDataset

__all__ = ["is_cifar", "load_cifar"]

_PIXELS = 32 * 32 * 3
_MAX_BYTES = 512 << 20
# (train files, test file, bytes of labels before the pixels, file of class names)
_BINARY = (
    ("data_batch_*.bin", "test_batch.bin", 1, "batches.meta.txt"),
    ("train.bin", "test.bin", 2, "fine_label_names.txt"),
)
_PYTHON = (
    ("data_batch_[0-9]", "test_batch", b"labels", "batches.meta", b"label_names"),
    ("train", "test", b"fine_labels", "meta", b"fine_label_names"),
)


def is_cifar(directory: Path) -> bool:
    """Whether a directory looks like one of CIFAR's archives unpacked."""
    if any(any(directory.glob(train)) for train, *_ in _BINARY):
        return True
    if any(path.is_file() for path in directory.glob(_PYTHON[0][0])):
        return True
    if all((directory / name).is_file() for name in _PYTHON[1][:2]):
        return True
    return any((directory / meta).is_file() for _, _, _, meta, _ in _PYTHON)


def load_cifar(directory: Path, name: str) -> Dataset:
    """Load CIFAR-10 or CIFAR-100 (with its 100 fine labels).

    Raises:
        BadDataset: a batch is cut short or holds something else than its format says.
    """
    for train, test, num_labels, names in _BINARY:
        if files := sorted(directory.glob(train)):
            parts = {"train": _join([_read_binary(path, num_labels) for path in files])}
            if (directory / test).is_file():
                parts["test"] = _read_binary(directory / test, num_labels)
            return assemble(name, str(directory), parts, _text_names(directory / names))
    for train, test, key, meta, names_key in _PYTHON:
        files = [path for path in sorted(directory.glob(train)) if path.is_file()]
        if files and not (directory / meta).is_file():
            raise BadDataset(
                f"{directory} holds {files[0].name} but no {meta}; expected the names of the classes "
                "in it, as CIFAR's archive has them"
            )
        if files:
            parts = {"train": _join([_read_python(path, key) for path in files])}
            if (directory / test).is_file():
                parts["test"] = _read_python(directory / test, key)
            classes = _python_names(directory / meta, names_key)
            return assemble(name, str(directory), parts, classes or None)
    raise BadDataset(
        f"{directory} holds no CIFAR batches; expected data_batch_1[.bin] or train[.bin]"
    )


def _join(parts: list[Part]) -> Part:
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def _read_binary(path: Path, num_labels: int) -> Part:
    record = _PIXELS + num_labels
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadDataset(f"cannot read {path}: {error.strerror}") from error
    if not data or len(data) % record:
        raise BadDataset(
            f"{path} is {len(data):,} bytes; expected a multiple of {record:,} (a CIFAR record): it "
            "was not copied completely"
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, record)
    return _to_images(rows[:, num_labels:]), rows[:, num_labels - 1].astype(np.int64)


def _read_python(path: Path, labels_key: bytes) -> Part:
    batch = _unpickle(path)
    pixels, labels = batch.get(b"data"), batch.get(labels_key)
    if not isinstance(pixels, _Array) or not isinstance(labels, list):
        raise BadDataset(f"{path} holds no data and {labels_key.decode()}; expected a CIFAR batch")
    try:
        numbers = np.array(labels)
    except ValueError:
        numbers = np.array(None)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise BadDataset(f"{path} holds {labels_key.decode()} that are no list of whole numbers")
    return _to_images(pixels.to_numpy(path)), numbers


def _python_names(path: Path, key: bytes) -> list[str]:
    names = _unpickle(path).get(key, [])
    if not isinstance(names, list) or not all(isinstance(label, (bytes, str)) for label in names):
        raise BadDataset(f"{path} holds {key.decode()} that are no list of names")
    return [
        label.decode("utf-8", "replace") if isinstance(label, bytes) else printable(label)
        for label in names
    ]


def _to_images(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _text_names(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip()] or None


class _Array:
    """Stands in for a NumPy array in a pickle: keeps its parts, runs nothing."""

    def __init__(self, *_: object) -> None:
        self._state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = state

    def to_numpy(self, path: Path) -> npt.NDArray[np.uint8]:
        try:
            _, shape, kind, fortran, data = self._state
            if kind.name not in ("u1", b"u1") or fortran:
                raise ValueError("expected rows of unsigned bytes")
            return np.frombuffer(data, np.uint8).reshape(shape).reshape(-1, _PIXELS)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadDataset(f"{path} holds no CIFAR pixels: {error}") from error


class _Type:
    """Stands in for a NumPy dtype in a pickle."""

    def __init__(self, name: object = "", *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        """Byte order and the like do not matter for single bytes."""


class _HarmlessUnpickler(pickle.Unpickler):
    """Builds plain containers and the two stand-ins above; refuses to look up anything else."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"_reconstruct": _Array, "ndarray": _Array, "dtype": _Type}
        if module.split(".")[0] == "numpy" and name in known:
            return known[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs")


def _unpickle(path: Path) -> dict[bytes, Any]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadDataset(f"{path} is larger than any CIFAR batch")
        content = _HarmlessUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except BadDataset:
        raise
    except Exception as error:
        raise BadDataset(f"{path} is refused: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise BadDataset(f"{path} holds a {type(content).__name__}; expected a CIFAR batch")
    return content
