"""How data sets may lie on a disk: folders of classes and of splits, CIFAR's archives, CSV files."""

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from hemline_model import BadDataset, Dataset, InputContract, bring_to_contract, dataset
from hemline_model._data._idx import write_idx

RNG = np.random.default_rng(0)


def fill(folder: Path, count: int = 30) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = RNG.integers(0, 256, (10, 10), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def num_images(data: Dataset) -> dict[str, int]:
    """Images of each class, over all splits."""
    labels = np.concatenate([split.labels for split in data.splits.values()])
    return {name: int((labels == number).sum()) for number, name in enumerate(data.classes)}


def test_a_class_called_train(tmp_path: Path) -> None:
    for label in ("car", "bus", "train/steam", "train/diesel"):
        fill(tmp_path / label)
    data = dataset(tmp_path)
    assert num_images(data) == {"bus": 30, "car": 30, "train": 60}
    assert not data.problems


def test_folders_for_splits(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for label in ("cat", "dog"):
            fill(tmp_path / split / label, 5)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.txt").write_text("no image")
    data = dataset(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 10,
        "validation": 10,
        "test": 10,
    }
    assert data.classes == ["cat", "dog"]
    assert not data.problems
    fill(tmp_path / "masks", 1)
    assert [str(problem) for problem in dataset(tmp_path).problems] == [
        "masks: no split (train, validation or test), though it lies beside some; left out"
    ]


@pytest.mark.parametrize("below", ["", "train"])
def test_hidden_folders_are_not_looked_at(tmp_path: Path, below: str) -> None:
    for label in ("cat", "dog"):
        fill(tmp_path / below / label)
        fill(tmp_path / below / label / ".ipynb_checkpoints", 3)
    fill(tmp_path / below / ".ipynb_checkpoints", 3)
    data = dataset(tmp_path)
    assert num_images(data) == {"cat": 30, "dog": 30}
    assert not data.problems


PIXELS = RNG.integers(0, 256, (60, 3, 32, 32), np.uint8)
LABELS = (np.arange(60) % 2).astype(np.uint8)


def check_cifar(data: Dataset) -> None:
    assert data.classes == ["airplane", "automobile"]
    assert data.input.shape == (32, 32, 3)
    assert len(data.split("train")) + len(data.split("validation")) == 60
    test = data.split("test")
    np.testing.assert_array_equal(test.images[:], PIXELS[:9].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(test.labels, LABELS[:9])


def cifar_binary(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = np.hstack([LABELS[:, np.newaxis], PIXELS.reshape(60, -1)])
    (folder / "data_batch_1.bin").write_bytes(rows[:30].tobytes())
    (folder / "data_batch_2.bin").write_bytes(rows[30:].tobytes())
    (folder / "test_batch.bin").write_bytes(rows[:9].tobytes())
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\n\n")


class Python2Pickler(pickle._Pickler):
    """Writes byte strings as Python 2 did, which CIFAR's batches come from."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        short = len(data) < 256
        self.write(
            pickle.SHORT_BINSTRING + bytes([len(data)])
            if short
            else pickle.BINSTRING + struct.pack("<i", len(data))
        )
        self.write(data)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string


def write_batch(path: Path, content: dict[bytes, object]) -> None:
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(content)
    path.write_bytes(stream.getvalue())


def cifar_python(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows, labels = PIXELS.reshape(60, -1), LABELS.tolist()
    files: dict[str, dict[bytes, object]] = {
        "data_batch_1": {b"data": rows[:30], b"labels": labels[:30]},
        "data_batch_2": {b"data": rows[30:], b"labels": labels[30:]},
        "test_batch": {b"data": rows[:9], b"labels": labels[:9]},
        "batches.meta": {b"label_names": [b"airplane", b"automobile"]},
    }
    for name, content in files.items():
        write_batch(folder / name, content)


def cifar_100(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows, labels = PIXELS.reshape(60, -1), LABELS.tolist()
    for name, size in (("train", 60), ("test", 9)):
        batch: dict[bytes, object] = {
            b"data": rows[:size],
            b"fine_labels": labels[:size],
            b"coarse_labels": [7] * size,
        }
        write_batch(folder / name, batch)
    names: dict[bytes, object] = {
        b"fine_label_names": [b"airplane", b"automobile"],
        b"coarse_label_names": [b"x"] * 8,
    }
    write_batch(folder / "meta", names)


@pytest.mark.parametrize("write", [cifar_binary, cifar_python, cifar_100])
def test_cifar_batches(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path / "set")
    check_cifar(dataset(tmp_path / "set"))


def test_cifar_in_the_cache_of_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("HEMLINE_DATASETS", raising=False)
    monkeypatch.chdir(tmp_path)
    cache = tmp_path / "datasets"
    cifar_python(cache / "cifar-10-batches-py-target" / "cifar-10-batches-py")
    cifar_100(cache / "cifar-100-python-target" / "cifar-100-python")
    check_cifar(dataset("cifar10"))
    check_cifar(dataset("cifar100"))


SPLITS = ["train"] * 20 + ["val"] * 10 + ["test"] * 10


def test_a_csv_file_and_its_images(tmp_path: Path) -> None:
    fill(tmp_path / "images", 40)
    rows = [f"images/{n}.png,{'cat' if n % 2 else 'dog'},{split}" for n, split in enumerate(SPLITS)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["File_Name,label,split", *rows, "images/a\0.png,cat,train"]))
    data = dataset(path)
    assert data.classes == ["cat", "dog"]
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 20,
        "validation": 10,
        "test": 10,
    }
    assert data.split("test").ids == [f"images/{n}.png" for n in range(30, 40)]
    assert data.split("test").labels.tolist() == [1, 0] * 5
    assert [str(problem) for problem in data.problems] == [
        "images/a\0.png: cannot be read (embedded null byte); left out"
    ]


def test_a_csv_file_may_not_lead_away_by_a_null_byte(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,label\n../a\0.png,cat\n")
    with pytest.raises(BadDataset, match="holds no classes with readable images"):
        dataset(path)


@pytest.mark.parametrize("kind", ["npz", "npy", "idx", "cifar"])
def test_arrays_are_brought_to_the_size_that_is_asked_for(tmp_path: Path, kind: str) -> None:
    place, grey = tmp_path, PIXELS[:, 0, :20, :24]
    if kind == "npz":
        place = tmp_path / "a.npz"
        np.savez(place, images=grey, labels=LABELS)
    elif kind == "npy":
        np.save(tmp_path / "images.npy", grey)
        np.save(tmp_path / "labels.npy", LABELS)
    elif kind == "idx":
        write_idx(tmp_path / "train-images-idx3-ubyte.gz", grey)
        write_idx(tmp_path / "train-labels-idx1-ubyte.gz", LABELS)
    else:
        place = tmp_path / "set"
        cifar_binary(place)
    asked = InputContract(height=16, width=40, channels=1 if kind == "cifar" else 3)
    own, resized = dataset(place), dataset(place, asked, in_memory_bytes=1000)
    assert own.input != asked
    assert resized.input == asked
    assert dataset(place, own.input).input == own.input
    for name, split in own.splits.items():
        expected = np.stack([bring_to_contract(image, asked) for image in split.images])
        np.testing.assert_array_equal(resized.split(name).images[:], expected)
        np.testing.assert_array_equal(resized.split(name).labels, split.labels)
        assert resized.split(name).ids == split.ids
