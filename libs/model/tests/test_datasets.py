"""Data sets by name, as IDX files and as folders."""

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import hemline_model as hm
from hemline_model import BadDataset, dataset, find_problems, split_of
from hemline_model._data._idx import write_idx
from hemline_model._functions import chosen_split
from hemline_model.cli import app


def test_the_shipped_sample() -> None:
    sample = dataset("fashion-mnist-sample")
    train, validation, test = (sample.split(s) for s in ("train", "validation", "test"))
    assert len(train) + len(validation) == 10_000
    assert 900 < len(validation) < 1_100
    assert len(test) == 10_000
    assert test.ids[42] == "fashion-mnist-test-00042"
    assert sample.classes[int(test.labels[5])] == "trouser"
    assert sample.input.shape == (28, 28, 1)
    assert all(split_of(name) == "validation" for name in validation.ids)
    assert not set(train.ids) & set(validation.ids)
    assert train.images[:3].dtype == np.uint8


def test_the_split_is_a_pure_function_of_the_name() -> None:
    names = [f"cat/{number}.png" for number in range(12)]
    kept = [name for name in names if split_of(name) == "validation"]
    assert kept == ["cat/0.png", "cat/4.png", "cat/7.png"]
    share = np.mean([split_of(f"image-{n}") == "validation" for n in range(20_000)])
    assert abs(share - 0.1) < 0.01


@pytest.fixture
def idx(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", rng.integers(0, 256, (60, 12, 9), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", (np.arange(60) % 3).astype(np.uint8))
    return tmp_path


def test_idx_files_of_any_shape(idx: Path) -> None:
    data = dataset(idx)
    assert data.input.shape == (12, 9, 1)
    assert data.classes == ["0", "1", "2"]
    assert len(data.split("train")) + len(data.split("validation")) == 60
    with pytest.raises(BadDataset, match="has no test split; it has train, validation"):
        data.split("test")


def test_labels_that_do_not_fit_the_images(idx: Path) -> None:
    write_idx(idx / "train-labels-idx1-ubyte.gz", np.zeros(59, np.uint8))
    with pytest.raises(BadDataset) as caught:
        dataset(idx)
    assert str(caught.value) == (
        "train-images-idx3-ubyte.gz holds 60 images and train-labels-idx1-ubyte.gz 59 labels; "
        "expected as many of each"
    )


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label / "deeper").mkdir(parents=True)
        for number in range(40):
            pixels = rng.integers(0, 256, (40 + number, 50, 3), np.uint8)
            kind = ("png", "jpg", "webp")[number % 3]
            Image.fromarray(pixels).save(tmp_path / label / "deeper" / f"{number}.{kind}")
    (tmp_path / "cat" / "broken.png").write_bytes(b"no image")
    (tmp_path / "dog" / "notes.txt").write_text("left out")
    data = dataset(tmp_path)
    assert data.classes == ["cat", "dog"]
    assert data.input.channels == 3
    assert sorted(problem.where for problem in data.problems) == ["cat/broken.png", "dog/notes.txt"]
    total = sum(len(split) for split in data.splits.values())
    assert total == 80
    train = data.split("train")
    assert train.images[:4].shape == (4, *data.input.shape)
    assert train.ids[0].startswith("cat/deeper/")


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    place = tmp_path / os.fsdecode(b"set\xfc")
    for label in (b"cat", b"k\xe4fer"):
        folder = place / os.fsdecode(label)
        folder.mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 256, (12, 12), np.uint8)
            Image.fromarray(pixels).save(folder / os.fsdecode(b"\xff%d.png" % number))
    (place / "cat" / os.fsdecode(b"\xfe.txt")).touch()
    data = dataset(place)
    assert data.name == "set\\udcfc"
    assert data.classes == ["cat", "k\\udce4fer"]
    assert [problem.where for problem in data.problems] == ["cat/\\udcfe.txt"]
    ids = [name for split in data.splits.values() for name in split.ids]
    assert len(set(ids)) == 60
    assert "k\\udce4fer/\\udcff7.png" in ids
    for name, split in data.splits.items():
        assert {split_of(sample_id) for sample_id in split.ids} == {name}
    # As a sample's id, the name that the file system gives is on the same side.
    assert all(split_of(f"\udcff{n}") == split_of(f"\\udcff{n}") for n in range(30))
    shown = CliRunner().invoke(app, ["inspect", str(place)])
    assert shown.stdout.splitlines()[-1].startswith("problem: cat/\\udcfe.txt: not a PNG")


def test_samples_named_after_files_that_are_not_utf_8() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 12), np.uint8)
    samples = [
        hm.Sample(pixels[n], ("cat", "k\udce4fer")[n % 2], id=f"\udcff{n}") for n in range(60)
    ]
    for classes in (None, ["cat", "k\udce4fer"]):
        data = hm.dataset_from(samples, classes=classes)
        assert data.classes == ["cat", "k\\udce4fer"]
        assert sum(len(split) for split in data.splits.values()) == 60
        assert all(name.startswith("\\udcff") for name in data.split("train").ids)
        assert data.problems == []


def test_a_bomb_in_a_folder_is_listed_like_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(30):
            pixels = rng.integers(0, 256, (12, 12), np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{number}.png")
    data = bytearray((tmp_path / "cat" / "0.png").read_bytes())
    for name, side in (("large", 12_000), ("huge", 60_000)):
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        (tmp_path / "cat" / f"{name}.png").write_bytes(data)
    seen: list[tuple[int, int]] = []
    found = dataset(tmp_path, on_read=lambda done, total: seen.append((done, total)))
    assert seen == [(n, 61) for n in range(1, 62)]
    assert [problem.where for problem in found.problems] == ["cat/huge.png", "cat/large.png"]
    assert "12,000 x 12,000 pixels, more than the 25,000,000 accepted" in found.problems[1].what


def test_nothing_there() -> None:
    with pytest.raises(BadDataset) as caught:
        dataset("no/such/place")
    assert str(caught.value) == (
        "there is no data set at 'no/such/place'; expected a path or one of "
        "fashion-mnist-sample, fashion-mnist, mnist, cifar10, cifar100, emnist-balanced, "
        "emnist-byclass, emnist-bymerge, emnist-digits, emnist-letters, emnist-mnist"
    )


def test_problems_of_a_whole_data_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (80, 8, 8), np.uint8)
    labels = np.arange(80) % 2
    labels[5] = 2
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[:1], y_test=[0])
    problems = [str(problem) for problem in find_problems(dataset(tmp_path / "a.npz"))]
    assert problems == [
        "2: the class has one image to learn from",
        "test: 1 images are in the train split too: a-test-00000 = a-train-00000",
    ]


def test_judging_on_a_folder_of_some_classes(tmp_path: Path) -> None:
    images = dataset("fashion-mnist-sample").split("test")
    for label, name in ((1, "trouser"), (8, "bag")):
        (tmp_path / "new" / name).mkdir(parents=True)
        for row in np.flatnonzero(images.labels == label)[:6]:
            Image.fromarray(images.images[row][:, :, 0]).save(
                tmp_path / "new" / name / f"{row}.png"
            )
    (tmp_path / "new" / "hat").mkdir()
    (tmp_path / "new" / "hat" / "1.png").write_bytes(
        next((tmp_path / "new").rglob("*.png")).read_bytes()
    )
    result = hm.test(hm.pretrained(), tmp_path / "new", split="all")
    assert result.images == 12
    assert result.accuracy > 0.8
    assert [score.images for score in result.classes if score.images] == [6, 6]
    shown = CliRunner().invoke(app, ["test", str(tmp_path / "new"), "--split", "all"])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[2] == "t-shirt          0       -       -"
    report = tmp_path / "report.html"
    CliRunner().invoke(
        app, ["test", str(tmp_path / "new"), "--split", "all", "--report", str(report)]
    )
    assert "on 12 images" in report.read_text()
    refused = CliRunner().invoke(app, ["test", str(tmp_path / "new")])
    assert refused.exit_code == 1
    assert "; or all of a folder that it never saw (--split all)" in refused.stderr


def test_all_of_a_set_is_each_image_once() -> None:
    sample = dataset("fashion-mnist-sample")
    joined = chosen_split(hm.read_card(hm.pretrained()), sample, "all")
    assert len(joined) == len(joined.images) == len(set(joined.ids)) == 20_000
    rows = np.array([0, 8_000, 9_500, 19_999])
    for row, image in zip(rows.tolist(), joined.images[rows], strict=True):
        split = next(s for s in sample.splits.values() if joined.ids[row] in s.ids)
        np.testing.assert_array_equal(image, split.images[split.ids.index(joined.ids[row])])
    np.testing.assert_array_equal(joined.images[-1], joined.images[19_990:][9])


def test_predictions_for_a_folder_as_json(tmp_path: Path) -> None:
    images = dataset("fashion-mnist-sample").split("test").images
    (tmp_path / "deep").mkdir()
    Image.fromarray(images[0][:, :, 0]).save(tmp_path / "deep" / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    result = CliRunner().invoke(app, ["predict", str(tmp_path), "--json"])
    assert result.exit_code == 1
    broken, good = (json.loads(line) for line in result.stdout.splitlines())
    assert broken == {
        "path": str(tmp_path / "b.png"),
        "error": "the image is empty (0 bytes); expected PNG, JPEG, WebP or .npy",
    }
    assert good["label_name"] == "ankle-boot"
    assert 0.5 < good["confidence"] <= 1
    (tmp_path / "none").mkdir()
    result = CliRunner().invoke(app, ["predict", str(tmp_path / "none")])
    assert result.stderr == (
        f"error: {tmp_path}/none holds no images; expected .jpeg, .jpg, .npy, .png, .webp files\n"
    )
