"""A snapshot of the lake is a data set to train on: what the README of libs/model says, with a real one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import imagecodecs
import numpy as np

import hemline_model as hm
from hemline_store import Lake, Snapshot
from hemline_store.tables import TEST, TRAIN, VALIDATION, ImageRow, ImportItem, LabelRow, Samples

SPLITS = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
CLASSES = ("cat", "dog")
PIXELS = np.random.default_rng(0).integers(0, 256, (70, 10, 12), np.uint8)


def png(number: int) -> bytes:
    return bytes(imagecodecs.png_encode(PIXELS[number]))


def labelled(samples: Samples, snapshot: Snapshot) -> Iterator[hm.Sample]:
    """Every labelled image of a snapshot, 256 at a time."""
    index = samples.index(snapshot, CLASSES)
    for start in range(0, len(index), 256):
        part = slice(start, start + 256)
        images = samples.take(snapshot, index.row[part])
        for image, label, name, split in zip(
            images, index.label[part], index.id[part], index.split[part], strict=True
        ):
            yield hm.Sample(image, label, name, SPLITS[split])


def test_a_snapshot_is_a_data_set(tmp_path: Path) -> None:
    samples = Samples.open(Lake(str(tmp_path / "lake"), "pets"))
    items = [ImportItem(f"old-{n}", png(n), "image/png", n % 2) for n in range(60)]
    items[50] = ImportItem("old-50", png(50), "image/png", 0, split="test")
    samples.import_dataset("pets", iter(items))
    now = datetime.now(UTC)
    samples.append_images(
        [ImageRow(f"new-{n}", png(n), "image/png", now, group=f"g-{n}") for n in range(60, 70)]
    )
    samples.append_labels(
        [LabelRow(f"new-{n}", n % 2, None, now, f"new-{n}", now) for n in range(60, 69)]
    )
    data = hm.dataset_from(labelled(samples, samples.snapshot()), name="pets", classes=CLASSES)
    assert data.classes == list(CLASSES)
    assert data.problems == []
    assert data.split("test").ids == ["old-50"]
    assert sum(len(split) for split in data.splits.values()) == 69
    for split in data.splits.values():
        for name, label, image in zip(split.ids, split.labels, split.images, strict=True):
            number = int(name.split("-")[1])
            assert label == number % 2
            np.testing.assert_array_equal(image[:, :, 0], PIXELS[number])
    # Both libraries keep the same images for validation.
    assert set(data.split("validation").ids) >= {
        f"old-{n}" for n in range(60) if n != 50 and hm.split_of(f"old-{n}") == "validation"
    }
