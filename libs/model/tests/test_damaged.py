"""Damaged data sets: each gives one line that says what to do."""

import contextlib
import gzip
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from hemline_model import BadDataset, dataset
from hemline_model._data._idx import write_idx
from hemline_model.cli import app


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    return written(lambda stream: np.save(stream, array, allow_pickle=True))


PNG = written(lambda stream: Image.fromarray(np.zeros((28, 28), np.uint8)).save(stream, "PNG"))


def idx(folder: Path, images: int = 60, labels: int = 60) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (images, 10, 10), np.uint8)
    write_idx(folder / "train-images-idx3-ubyte.gz", pixels)
    write_idx(folder / "train-labels-idx1-ubyte.gz", (np.arange(labels) % 3).astype(np.uint8))


def wrong_magic(folder: Path) -> None:
    idx(folder)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\x89PNG and more"))


def short_labels(folder: Path) -> None:
    idx(folder, labels=59)


def no_labels(folder: Path) -> None:
    idx(folder)
    (folder / "train-labels-idx1-ubyte.gz").unlink()


def cut_gzip(folder: Path) -> None:
    idx(folder)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])


def short_idx(folder: Path) -> None:
    idx(folder)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-7]))


def float_idx(folder: Path) -> None:
    idx(folder)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x0d\x03" + b"\0" * 40))


def nothing_inside(folder: Path) -> None:
    (folder / "empty").mkdir()


def one_class(folder: Path) -> None:
    (folder / "cat").mkdir()
    for number in range(20):
        (folder / "cat" / f"{number}.png").write_bytes(PNG)


def short_cifar(folder: Path) -> None:
    (folder / "data_batch_1.bin").write_bytes(bytes(3073 * 2 - 1))


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (Path.touch, (Path("owned"),))


def evil_cifar(folder: Path) -> None:
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"a", b"b"]}))
    (folder / "data_batch_1").write_bytes(pickle.dumps({b"data": Evil()}))


def cifar_of(folder: Path, labels: object, names: object = (b"a", b"b")) -> None:
    pixels = np.zeros((4, 3072), np.uint8)
    batch = pickle.dumps({b"data": pixels, b"labels": labels})
    (folder / "data_batch_1").write_bytes(batch)
    names = list(names) if isinstance(names, tuple) else names
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))


def cifar_without_names(folder: Path) -> None:
    cifar_of(folder, [0, 1, 0, 1])
    (folder / "batches.meta").unlink()


def cifar_labels_as_text(folder: Path) -> None:
    cifar_of(folder, ["a"] * 4)


def cifar_labels_beyond_all(folder: Path) -> None:
    cifar_of(folder, [2**70] * 4)


def cifar_labels_missing(folder: Path) -> None:
    cifar_of(folder, [None] * 4)


def cifar_labels_ragged(folder: Path) -> None:
    cifar_of(folder, [[0], [0, 1], 0, 1])


def cifar_names_in_one(folder: Path) -> None:
    cifar_of(folder, [0, 1, 0, 1], "ab")


def cifar_names_as_number(folder: Path) -> None:
    cifar_of(folder, [0, 1, 0, 1], 5)


def cifar_with_a_long_story(folder: Path) -> None:
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": [b"a", b"b"]}))
    (folder / "data_batch_1").write_bytes(b"cos\nsys\x0btem\n.")


NO_NUMBERS = "{0}/data_batch_1 holds labels that are no list of whole numbers"
NO_NAMES = "{0}/batches.meta holds label_names that are no list of names"
FOLDERS: dict[Callable[[Path], None], str] = {
    wrong_magic: (
        "{0}/train-images-idx3-ubyte.gz begins with b'\\x89PNG'; expected the IDX magic number "
        "00 00 08 NN (NN dimensions)"
    ),
    short_labels: (
        "train-images-idx3-ubyte.gz holds 60 images and train-labels-idx1-ubyte.gz 59 labels; "
        "expected as many of each"
    ),
    no_labels: (
        "{0}/train-images-idx3-ubyte.gz has no labels file beside it; expected "
        "train-labels-idx1-ubyte[.gz]"
    ),
    cut_gzip: (
        "cannot read {0}/train-images-idx3-ubyte.gz: Compressed file ended before the "
        "end-of-stream marker was reached"
    ),
    short_idx: (
        "{0}/train-images-idx3-ubyte.gz holds 5,993 bytes of data; its header promises 6,000 "
        "((60, 10, 10))"
    ),
    float_idx: (
        "{0}/train-images-idx3-ubyte.gz holds IDX elements of type 0x0d; expected 0x08 "
        "(unsigned bytes)"
    ),
    nothing_inside: (
        "{0} holds no classes with readable images; expected at least 2, each a folder with its "
        "images inside"
    ),
    one_class: (
        "{0} holds 1 class with readable images; expected at least 2, each a folder with its "
        "images inside"
    ),
    short_cifar: (
        "{0}/data_batch_1.bin is 6,145 bytes; expected a multiple of 3,073 (a CIFAR record): it "
        "was not copied completely"
    ),
    cifar_without_names: (
        "{0} holds data_batch_1 but no batches.meta; expected the names of the classes in it, as "
        "CIFAR's archive has them"
    ),
    cifar_labels_as_text: NO_NUMBERS,
    cifar_labels_beyond_all: NO_NUMBERS,
    cifar_labels_missing: NO_NUMBERS,
    cifar_labels_ragged: NO_NUMBERS,
    cifar_names_in_one: NO_NAMES,
    cifar_names_as_number: NO_NAMES,
    cifar_with_a_long_story: (
        "{0}/data_batch_1 is refused: it asks for os.sys tem, which no CIFAR batch needs"
    ),
    evil_cifar: (
        "{0}/data_batch_1 is refused: it asks for pathlib.Path.touch, which no CIFAR batch needs"
    ),
}


@pytest.mark.parametrize("make", FOLDERS, ids=lambda make: make.__name__)
def test_damaged_folders(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr == f"error: {FOLDERS[make].format(tmp_path)}\n"
    assert not Path("owned").exists()


def archive(**arrays: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        np.savez(path, **arrays)

    return write


def array(content: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.save(path, content)


def cut_array(path: Path) -> None:
    path.with_name("labels.npy").write_bytes(npy(COUNT))
    path.write_bytes(npy(PIXELS)[:-1])


def spoilt_header(path: Path) -> None:
    path.with_name("labels.npy").write_bytes(npy(COUNT))
    data = bytearray(npy(PIXELS))
    data[60:80] = b"(" * 20
    path.write_bytes(data)


def spoilt_header_in_an_archive(path: Path) -> None:
    data = bytearray(npy(PIXELS))
    data[60:80] = b"(" * 20
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("images.npy", data)
        target.writestr("labels.npy", npy(COUNT))


def archive_called_array(path: Path) -> None:
    path.with_name("labels.npy").write_bytes(npy(COUNT))
    with path.open("wb") as file:
        np.savez(file, images=PIXELS, labels=COUNT)


def one_class_table(path: Path) -> None:
    (path.parent / "a.png").write_bytes(PNG)
    path.write_text("file,category\n" + "a.png,red\n" * 20)


def pickled_labels(path: Path) -> None:
    path.with_name("images.npy").write_bytes(npy(PIXELS))
    path.write_bytes(npy(np.array([print], object)))


def text(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content) and None


PIXELS = np.zeros((60, 10, 10), np.uint8)
COUNT = np.arange(60) % 2
FILES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "no labels in the archive": (
        "a.npz",
        archive(x_train=PIXELS),
        "{0} holds x_train; expected x_train and y_train, or images and labels",
    ),
    "float images": (
        "a.npz",
        archive(images=PIXELS / 255, labels=COUNT),
        "{0}: the train images are float64; expected uint8 from 0 to 255",
    ),
    "one-hot labels": (
        "a.npz",
        archive(images=PIXELS, labels=np.eye(60)),
        "{0}: the train labels are float64 of the shape (60, 60); expected N whole numbers",
    ),
    "labels out of range": (
        "a.npz",
        archive(images=PIXELS, labels=COUNT * 9, classes=np.array(["cat", "dog"])),
        "{0} has the label 9; expected 0 to 1 (2 classes)",
    ),
    "negative labels": (
        "a.npz",
        archive(images=PIXELS, labels=COUNT - 1),
        "{0} has the label -1; expected 0 or more",
    ),
    "no archive": (
        "a.npz",
        text("PK, but no archive"),
        "{0} is no NumPy archive that can be read without unpickling; expected one written by "
        "numpy.savez with plain arrays",
    ),
    "pickled labels": (
        "a.npz",
        archive(images=PIXELS, labels=np.array([{}] * 60, object)),
        "{0} is no NumPy archive that can be read without unpickling; expected one written by "
        "numpy.savez with plain arrays",
    ),
    "another kind of file": (
        "a.txt",
        text("hello"),
        "{0} is a .txt file; expected a folder of classes, IDX files, CIFAR batches or .npy arrays, "
        "or an .npz, .npy or .csv file",
    ),
    "an array alone": (
        "images.npy",
        array(PIXELS),
        "{0} has no labels beside it; expected a pair such as images.npy and labels.npy, or "
        "x_train.npy and y_train.npy",
    ),
    "an array cut short": (
        "images.npy",
        cut_array,
        "{0} is no NumPy array that can be read without unpickling; expected one written by "
        "numpy.save, complete, with plain numbers",
    ),
    "an array with a spoilt header": (
        "images.npy",
        spoilt_header,
        "{0} is no NumPy array that can be read without unpickling; expected one written by "
        "numpy.save, complete, with plain numbers",
    ),
    "an archive called an array": (
        "images.npy",
        archive_called_array,
        "{0} is no NumPy array that can be read without unpickling; expected one written by "
        "numpy.save, complete, with plain numbers",
    ),
    "a spoilt header in an archive": (
        "a.npz",
        spoilt_header_in_an_archive,
        "{0} is no NumPy archive that can be read without unpickling; expected one written by "
        "numpy.savez with plain arrays",
    ),
    "a number of classes": (
        "a.npz",
        archive(images=PIXELS, labels=COUNT, classes=np.array(5)),
        "{0} holds classes of the shape (); expected their names in a row, as many as there are "
        "classes",
    ),
    "labels beyond all numbers": (
        "a.npz",
        archive(images=PIXELS, labels=COUNT.astype(np.uint64) + np.uint64(2**63)),
        "{0} has the label 9223372036854775809; expected 0 to 999, or names for labels",
    ),
    "labels that are times": (
        "a.npz",
        archive(images=PIXELS, labels=COUNT.astype("m8[s]")),
        "{0}: the train labels are timedelta64[s] of the shape (60,); expected N whole numbers",
    ),
    "a pickled array of labels": (
        "labels.npy",
        pickled_labels,
        "{0} has no labels beside it; expected a pair such as images.npy and labels.npy, or "
        "x_train.npy and y_train.npy",
    ),
    "no label column": (
        "a.csv",
        text("image,colour\na.png,red\n"),
        "{0} has the columns image, colour; expected one called label or class or class_name or "
        "category or target",
    ),
    "a column over two lines": (
        "a.csv",
        text('image,"two\nlines"\na.png,red\n'),
        "{0} has the columns image, two lines; expected one called label or class or class_name or "
        "category or target",
    ),
    "a table of one class": (
        "a.csv",
        one_class_table,
        "{0} holds 1 class with readable images; expected at least 2, each the category of some of "
        "the images",
    ),
    "a header alone": (
        "a.csv",
        text("image,label\n"),
        "{0} holds no classes with readable images; expected at least 2, each the label of some of "
        "the images",
    ),
    "a path that leads away": (
        "a.csv",
        text("image,label\n../../etc/passwd,red\n"),
        "{0}, line 2: '../../etc/passwd' is outside the CSV file's folder; expected a path below it",
    ),
    "an unknown split": (
        "a.csv",
        text("image,label,split\na.png,red,holdout\n"),
        "{0}, line 2: split is 'holdout'; expected train, validation or test",
    ),
}


def test_a_table_that_names_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "one.png").symlink_to(tmp_path / "two.png")
    (tmp_path / "two.png").symlink_to(tmp_path / "one.png")
    rows = ["one.png,cat"]
    for label in ("cat", "dog"):
        for number in range(20):
            (tmp_path / f"{label}{number}.png").write_bytes(PNG)
            rows.append(f"{label}{number}.png,{label}")
    (tmp_path / "a.csv").write_text("image,label\n" + "\n".join(rows))
    (problem,) = dataset(tmp_path / "a.csv").problems
    assert problem.where == "one.png"
    assert "Too many levels of symbolic links" in problem.what


@pytest.mark.parametrize("version", ["npy", "npz"])
def test_any_bytes_in_the_header_of_an_array(tmp_path: Path, version: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"images.{version}"
    (tmp_path / "labels.npy").write_bytes(npy(COUNT))
    for _ in range(150):
        data = bytearray(npy(PIXELS))
        start = int(rng.integers(6, 118))
        count = int(rng.integers(1, 10))
        data[start : start + count] = rng.choice(
            list(b"(){}[],'\"09-:TF\\#\n\0 \xff<|u"), count
        ).tolist()
        if version == "npz":
            with zipfile.ZipFile(path, "w") as target:
                target.writestr("images.npy", data)
                target.writestr("labels.npy", npy(COUNT))
        else:
            path.write_bytes(data)
        with contextlib.suppress(BadDataset), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset(path)


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    file_name, make, message = FILES[name]
    path = tmp_path / file_name
    make(path)
    result = CliRunner().invoke(app, ["inspect", str(path)])
    assert result.exit_code == 1
    assert result.stderr == f"error: {message.format(path)}\n"
    assert re.fullmatch(r"[^\n]+\n", result.stderr)
