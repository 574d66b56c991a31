import os
from datetime import timedelta

import numpy as np
import pytest

from hemline_store import InvalidOption, OutOfSpace
from hemline_store.tables import ImportItem, Samples, TableSettings


def test_compaction_changes_no_sample(lake, samples, rows):
    for n in range(12):
        samples.append_images([rows.image(f"i{n}-{k}", t=n) for k in range(3)])
        samples.append_labels([rows.label(f"i{n}-{k}", k) for k in range(3)])
    old = samples.snapshot()
    before = samples.index(old, rows.classes)
    summary = samples.summary(rows.classes)
    compacted = samples.compact()
    assert compacted.files_removed == 24
    assert compacted.files_added == 2
    new = samples.snapshot()
    assert new != old
    for reader in (samples, Samples.open(lake)):
        after = reader.index(new, rows.classes)
        assert after.id.tolist() == before.id.tolist()
        assert reader.take(new, after.row[::-1]) == reader.take(old, before.row[::-1])
        counts = reader.summary(rows.classes)
        assert (counts.labelled, counts.classes) == (summary.labelled, summary.classes)
    assert samples.compact().files_removed == 0
    samples.append_images([rows.image("later")])
    assert samples.summary(rows.classes).images == 37


def test_large_files_are_not_rewritten_again(samples, rows, monkeypatch):
    from hemline_store.tables import _upkeep

    monkeypatch.setattr(_upkeep, "_FILE_BYTES", 2_000_000)
    for n in range(25):
        samples.append_images([rows.image(f"i{n}", data=os.urandom(200_000))])
    first = samples.compact()
    assert first.files_removed == 25
    assert 2 <= first.files_added <= 3
    for n in range(25, 30):
        samples.append_images([rows.image(f"i{n}", data=os.urandom(200_000))])
    second = samples.compact()
    assert 5 <= second.files_removed <= 6
    assert samples.summary(rows.classes).images == 30


def test_images_that_no_label_came_for_expire(lake, samples, rows):
    samples.import_dataset("set", [ImportItem("import", b"x", "image/png", 0)])
    names = ["labelled", "retracted", "early", "late", "it's"]
    samples.append_images([rows.image(name, t=50 if name == "late" else 0) for name in names])
    samples.append_images([rows.image("early", t=1)])
    samples.append_labels([rows.label("labelled", 0), rows.label("retracted", None)])
    samples.append_predictions([rows.prediction(name, 0) for name in names])
    before = samples.snapshot()
    expired = samples.expire(timedelta(seconds=20), now=rows.at(60))
    assert expired.images == 2
    query = "SELECT id FROM {} ORDER BY id"
    for table in ("images", "predictions"):
        ids = samples.query(query.format(table), classes=rows.classes)["id"].to_pylist()
        assert [i for i in ids if i != "import"] == ["labelled", "late", "retracted"]
    assert samples.summary(rows.classes).waiting_for_label == 2
    # What an older snapshot holds does not change.
    assert Samples.open(lake).summary(rows.classes, snapshot=before).images == 6
    assert samples.expire(timedelta(seconds=20), now=rows.at(60)).images == 0
    # An expired image may come again.
    samples.append_images([rows.image("early", t=70)])
    index_size = samples.summary(rows.classes).stream_images
    assert index_size == 4


def test_rows_are_right_after_rows_were_removed(samples, rows):
    samples.append_images([rows.image(f"i{n}") for n in range(10)])
    samples.append_labels([rows.label(f"i{n}", 0) for n in range(5, 10)])
    samples.expire(timedelta(0), now=rows.at(10))
    samples.append_images([rows.image("new")])
    samples.append_labels([rows.label("new", 1)])
    for compact in (False, True):
        if compact:
            samples.compact()
        snapshot = samples.snapshot()
        index = samples.index(snapshot, rows.classes)
        assert samples.take(snapshot, index.row) == [f"data of {i}".encode() for i in index.id]


def test_take_keeps_the_order_asked_for(samples, rows):
    for n in range(0, 300, 50):
        samples.append_images([rows.image(f"i{k}") for k in range(n, n + 50)])
    snapshot = samples.snapshot()
    wanted = np.random.default_rng(1).integers(0, 300, 256)
    assert samples.take(snapshot, wanted) == [f"data of i{n}".encode() for n in wanted]
    assert samples.take(snapshot, [7, 7, 3]) == [b"data of i7", b"data of i7", b"data of i3"]
    for row in (-1, 300):
        with pytest.raises(InvalidOption, match="images 0 to 299"):
            samples.take(snapshot, [0, row])


def test_old_versions_are_kept_for_their_readers(lake, samples, rows):
    samples.append_images([rows.image("a")])
    old = samples.snapshot()
    samples.append_images([rows.image("b")])
    assert samples.clean(timedelta(hours=1)).versions == 0
    assert Samples.open(lake).take(old, [0]) == [b"data of a"]
    assert samples.clean(timedelta(0)).versions > 0
    assert samples.take(samples.snapshot(), [1]) == [b"data of b"]


def test_a_writer_that_slept_through_a_clean_up_goes_on(lake, samples, rows):
    sleeper = Samples.open(lake)
    sleeper.append_images([rows.image("first")])
    for n in range(8):
        samples.append_images([rows.image(f"i{n}")])
    samples.compact()
    samples.clean(timedelta(0))
    sleeper.append_images([rows.image("last")])
    assert sleeper.summary(rows.classes).images == 10


def test_a_join_that_outgrows_its_bounds_says_so(lake, rows, tmp_path):
    samples = Samples.open(lake)
    for start in range(0, 60_000, 20_000):
        samples.append_labels([rows.label(f"{n:060d}", 1) for n in range(start, start + 20_000)])
    (tmp_path / "file").write_text("no folder")
    small = TableSettings(join_memory="8MB", threads=1, scratch=tmp_path / "file")
    starved = Samples.open(lake, settings=small)
    for _ in range(2):
        with pytest.raises(OutOfSpace, match="join_memory"):
            starved.summary(rows.classes)
    enough = TableSettings(join_memory="200MB", threads=1)
    assert Samples.open(lake, settings=enough).summary(rows.classes).waiting_for_image == 60_000
    with pytest.raises(InvalidOption, match="threads"):
        TableSettings(threads=0)
