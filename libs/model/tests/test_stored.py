"""Arrays in files, EMNIST's own way, samples from anywhere, and more of them than fit into memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemline_model as hm
from hemline_model._data._idx import write_idx
from hemline_model._data._spool import Spool
from hemline_model._data._stored import FileImages

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (80, 12, 10), np.uint8)
LABELS = np.arange(80) % 4


def whole(data: hm.Dataset) -> dict[str, np.ndarray]:
    """Every image of a data set by its id."""
    return {
        sample_id: split.images[row]
        for split in data.splits.values()
        for row, sample_id in enumerate(split.ids)
    }


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", PIXELS)
    np.save(tmp_path / "labels.npy", LABELS)
    return tmp_path


def test_a_pair_of_arrays(arrays: Path) -> None:
    for spec in (arrays, arrays / "images.npy"):
        data = hm.dataset(spec)
        assert data.input.shape == (12, 10, 1)
        assert data.classes == ["0", "1", "2", "3"]
        assert len(whole(data)) == 80


def test_arrays_with_names_and_a_test_set(tmp_path: Path) -> None:
    names = np.array(["owl", "cat", "dog", "eel"])
    np.save(tmp_path / "pets_x_train.npy", PIXELS)
    np.save(tmp_path / "pets_y_train.npy", names[LABELS])
    data = hm.dataset(tmp_path / "pets_x_train.npy")
    assert data.classes == ["cat", "dog", "eel", "owl"]
    train = data.split("train")
    first = int(train.ids[0].rsplit("-", 1)[1])
    assert data.classes[train.labels[0]] == names[LABELS[first]]
    for prefix, part in (("x", PIXELS), ("y", names[LABELS])):
        np.save(tmp_path / f"{prefix}_train.npy", part)
        np.save(tmp_path / f"{prefix}_test.npy", part[:8])
    np.save(tmp_path / "classes.npy", names)
    data = hm.dataset(tmp_path)
    assert data.classes == names.tolist()
    assert len(data.split("test")) == 8


def test_a_name_that_is_no_class(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=np.array(["x"] * 80), classes=["y", "z"])
    with pytest.raises(hm.BadDataset, match="has the label 'x'; expected one of the classes"):
        hm.dataset(tmp_path / "a.npz")


@pytest.mark.parametrize("form", ["npy", "npz", "idx", "folder", "samples"])
def test_what_is_beyond_the_bound_is_read_from_a_file_and_the_same(
    tmp_path: Path, form: str
) -> None:
    if form == "npy":
        np.save(tmp_path / "images.npy", PIXELS)
        np.save(tmp_path / "labels.npy", LABELS)
    elif form == "npz":
        np.savez_compressed(tmp_path / "a.npz", images=PIXELS, labels=LABELS)
    elif form == "idx":
        write_idx(tmp_path / "train-images-idx3-ubyte.gz", PIXELS)
        write_idx(tmp_path / "train-labels-idx1-ubyte.gz", LABELS.astype(np.uint8))
    elif form == "folder":
        for number, (pixels, label) in enumerate(zip(PIXELS, LABELS, strict=True)):
            (tmp_path / str(label)).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / str(label) / f"{number}.png")
    place = tmp_path / "a.npz" if form == "npz" else tmp_path

    def opened(in_memory_bytes: int) -> hm.Dataset:
        if form == "samples":
            pairs = zip(PIXELS, LABELS, strict=True)
            return hm.dataset_from(pairs, in_memory_bytes=in_memory_bytes)
        return hm.dataset(place, in_memory_bytes=in_memory_bytes)

    small, large = opened(1 << 20), opened(1000)
    assert isinstance(small.split("train").images, np.ndarray)
    assert not isinstance(large.split("train").images, np.ndarray)
    expected, received = whole(small), whole(large)
    assert expected.keys() == received.keys()
    for name, image in expected.items():
        np.testing.assert_array_equal(received[name], image)
    rows = np.array([5, 2, 2, 40])
    np.testing.assert_array_equal(
        large.split("train").images[rows], small.split("train").images[rows]
    )
    np.testing.assert_array_equal(
        np.concatenate([images for images, _ in large.split("train").batches(7)]),
        small.split("train").images,
    )


def test_a_file_that_shrinks_is_an_error_and_no_signal(arrays: Path) -> None:
    data = hm.dataset(arrays, in_memory_bytes=1000)
    path = arrays / "images.npy"
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(hm.BadDataset, match="was cut short while it was being read"):
        data.split("train").images[-1]


def test_a_disk_without_room_is_told_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(hm.BadDataset, match=r"GB free: name a folder with more room in TMPDIR"):
        Spool((1024, 1024, 3), 1 << 20, expected=1 << 40)


def test_reading_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "pixels").write_bytes(b"head" + PIXELS.tobytes())
    images = FileImages.open(tmp_path / "pixels", (80, 12, 10, 1), 4)
    expected = PIXELS[..., np.newaxis]
    np.testing.assert_array_equal(images[-1], expected[-1])
    np.testing.assert_array_equal(images[10:0:-3], expected[10:0:-3])
    np.testing.assert_array_equal(images[78:99], expected[78:])
    assert images[5:5].shape == (0, 12, 10, 1)


def emnist(folder: Path, name: str, mapping: str, labels: np.ndarray) -> None:
    on_their_side = PIXELS.transpose(0, 2, 1)
    for part in ("train", "test"):
        write_idx(folder / f"{name}-{part}-images-idx3-ubyte.gz", on_their_side)
        write_idx(folder / f"{name}-{part}-labels-idx1-ubyte.gz", labels.astype(np.uint8))
    (folder / f"{name}-mapping.txt").write_text(mapping)


def test_emnist_is_turned_upright_and_its_classes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emnist(tmp_path, "emnist-letters", "1 65 97\n2 66 98\n3 67 99\n4 68 100\n", LABELS + 1)
    data = hm.dataset(tmp_path)
    assert data.classes == ["Aa", "Bb", "Cc", "Dd"]
    test = data.split("test")
    np.testing.assert_array_equal(test.images[:, :, :, 0], PIXELS)
    np.testing.assert_array_equal(test.labels, LABELS)
    emnist(tmp_path, "emnist-balanced", "0 48\n1 49\n2 50\n3 97\n", LABELS)
    with pytest.raises(hm.BadDataset) as caught:
        hm.dataset(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds several sets of IDX files: emnist-balanced, emnist-letters; name one of "
        f"them, like {tmp_path}/emnist-letters"
    )
    assert hm.dataset(tmp_path / "emnist-balanced").classes == ["0", "1", "2", "a"]
    monkeypatch.setenv("HEMLINE_DATASETS", str(tmp_path))
    assert hm.dataset("emnist-letters").classes == ["Aa", "Bb", "Cc", "Dd"]
    with pytest.raises(hm.BadDataset, match=r"emnist-digits is not installed here: .* from NIST"):
        hm.dataset("emnist-digits")


def test_an_emnist_label_without_a_name(tmp_path: Path) -> None:
    emnist(tmp_path, "emnist-letters", "1 65 97\n2 66 98\n", LABELS)
    with pytest.raises(hm.BadDataset, match="has no class for the label 0"):
        hm.dataset(tmp_path)


def png(pixels: np.ndarray, path: Path) -> bytes:
    Image.fromarray(pixels).save(path, "PNG")
    return path.read_bytes()


def test_samples_from_anywhere(tmp_path: Path) -> None:
    def samples() -> Iterator[tuple[object, ...]]:
        for number, pixels in enumerate(PIXELS):
            image: object = pixels
            if number % 3 == 0:
                image = png(pixels, tmp_path / f"{number}.png")
            elif number % 3 == 1:
                png(pixels, tmp_path / f"{number}.png")
                image = tmp_path / f"{number}.png"
            yield image, ["cat", "dog"][number % 2]
        yield b"no image", "cat"
        yield PIXELS[0], {}
        yield hm.Sample(PIXELS[1], "dog", "mine", "test")
        yield hm.Sample(tmp_path / "missing.png", "dog", "gone")

    data = hm.dataset_from(samples(), name="pets")
    assert (data.name, data.classes, data.input.shape) == ("pets", ["cat", "dog"], (12, 10, 1))
    assert sum(len(split) for split in data.splits.values()) == 81
    assert data.split("test").ids == ["mine"]
    np.testing.assert_array_equal(data.split("test").images[0, :, :, 0], PIXELS[1])
    assert [str(problem) for problem in data.problems] == [
        "sample 80: not an image: 8 bytes beginning with b'no image'; expected PNG, JPEG, WebP or "
        ".npy; left out",
        "sample 81: its label is a dict; expected a class name or an index; left out",
        f"gone: cannot read {tmp_path}/missing.png: No such file or directory; left out",
    ]
    again = hm.dataset_from(reversed([*samples()][:80]), name="pets")
    assert set(again.split("validation").ids) == set(data.split("validation").ids)


def test_samples_with_labels_that_do_not_fit() -> None:
    pairs = [*zip(PIXELS, LABELS.tolist(), strict=True), (PIXELS[3], 4), (PIXELS[5], "owl")]
    data = hm.dataset_from(pairs, classes=["a", "b", "c", "d"])
    assert [problem.what for problem in data.problems] == [
        "its label is 4; expected 0 to 3; left out",
        "its label is 'owl', which is none of the classes; left out",
    ]
    with pytest.raises(hm.BadDataset, match="are names and some are numbers; expected `classes`"):
        hm.dataset_from(pairs)
    with pytest.raises(hm.BadDataset, match="samples holds 1 classes; expected at least 2"):
        hm.dataset_from([(PIXELS[0], 0)])
    with pytest.raises(hm.BadDataset, match="a sample's image is a float; expected the bytes"):
        hm.dataset_from([(0.5, 0)])
