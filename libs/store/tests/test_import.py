import pytest

from hemline_store import InvalidOption
from hemline_store.tables import IMPORT, TEST, ImportItem, Samples
from hemline_store.tables import _import as importing


def items(count: int, *, broken_at: int | None = None):
    for n in range(count):
        if n == broken_at:
            raise KeyboardInterrupt
        yield ImportItem(
            f"set-{n:05d}",
            f"image {n}".encode(),
            "image/png",
            n % 3,
            split="test" if n % 5 == 0 else None,
        )


def test_a_data_set_comes_in_once(lake, samples, rows):
    first = samples.import_dataset("set", items(100))
    assert (first.items, first.images, first.labels) == (100, 100, 100)
    again = Samples.open(lake).import_dataset("set", items(120))
    assert (again.items, again.images, again.labels) == (120, 20, 20)
    summary = samples.summary(rows.classes)
    assert (summary.images, summary.labelled, summary.stream_images) == (120, 120, 0)
    assert summary.fresh_labelled == 0
    index = samples.index(samples.snapshot(), rows.classes)
    assert (index.origin == IMPORT).all()
    assert (index.split == TEST).sum() == 24
    assert samples.take(samples.snapshot(), index.row[[7]]) == [b"image 7"]


def test_an_import_that_died_is_finished_by_the_next(samples, rows, monkeypatch):
    monkeypatch.setattr(importing, "_BATCH_ITEMS", 8)
    with pytest.raises(KeyboardInterrupt):
        samples.import_dataset("set", items(100, broken_at=41))
    # And once between the images and the labels of one batch.
    with monkeypatch.context() as patch:
        patch.setattr(samples._labels, "append", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            samples.import_dataset("set", items(100))
    assert samples.summary(rows.classes).images == 48
    finished = samples.import_dataset("set", items(100))
    assert (finished.items, finished.images, finished.labels) == (100, 52, 60)
    count = "SELECT count(*) AS n FROM {}"
    for table in ("images", "labels"):
        assert samples.query(count.format(table), classes=rows.classes)["n"].to_pylist() == [100]


def test_a_label_from_the_stream_corrects_an_imported_one(samples, rows):
    samples.import_dataset("set", items(3))
    samples.append_labels([rows.label("set-00001", 0)])
    samples.import_dataset("set", items(3))
    index = samples.index(samples.snapshot(), rows.classes)
    assert index.label.tolist() == [0, 0, 2]


def test_the_name_is_checked(samples):
    with pytest.raises(InvalidOption, match="data set"):
        samples.import_dataset("it's", [])
    assert samples.import_dataset("nothing", []).items == 0
