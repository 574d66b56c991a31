"""What the join means: duplicates, corrections, retractions, labels before images, unknown names."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hemline_store import BadRow, InvalidOption, Lake, Snapshot
from hemline_store.tables import (
    IMPORT,
    STREAM,
    TEST,
    ImageRow,
    ImportItem,
    LabelRow,
    PredictionRow,
    Samples,
)

EMPTY = Snapshot(images=0, labels=0, predictions=0)


def labels_of(samples: Samples, rows) -> dict[str, int]:
    index = samples.index(samples.snapshot(), rows.classes)
    return dict(zip(index.id.tolist(), index.label.tolist(), strict=True))


def test_the_greatest_time_wins_then_the_greater_event_id(samples, rows):
    samples.append_images([rows.image("a"), rows.image("b")])
    samples.append_labels([rows.label("a", 2, t=5), rows.label("a", 1, t=3)])
    samples.append_labels([rows.label("b", 0, t=1, event="2"), rows.label("b", 1, t=1, event="10")])
    assert labels_of(samples, rows) == {"a": 2, "b": 0}
    samples.append_labels([rows.label("a", 0, t=4), rows.label("b", 2, t=1, event="3")])
    assert labels_of(samples, rows) == {"a": 2, "b": 2}


def test_a_retraction_takes_back_and_a_later_label_gives_again(samples, rows):
    samples.append_images([rows.image("a")])
    samples.append_labels([rows.label("a", 1, t=1)])
    samples.append_labels([rows.label("a", None, t=2)])
    assert labels_of(samples, rows) == {}
    summary = samples.summary(rows.classes)
    assert (summary.labelled, summary.waiting_for_label) == (0, 1)
    samples.append_labels([rows.label("a", 1, t=1, event="late")])
    assert labels_of(samples, rows) == {}
    samples.append_labels([rows.label("a", 2, t=3)])
    assert labels_of(samples, rows) == {"a": 2}


def test_what_no_prediction_names_is_unanswered(samples, rows):
    samples.append_images([rows.image(name, t=t) for t, name in enumerate("abcd")])
    samples.append_predictions([rows.prediction("b", 1), rows.prediction("elsewhere", 1)])
    assert samples.unanswered(received_since=rows.at(0)) == 3
    assert samples.unanswered(received_since=rows.at(2)) == 2
    samples.append_predictions([rows.prediction("c", 0), rows.prediction("c", 0, t=9)])
    samples.append_images([rows.image("d", t=9)])
    assert samples.unanswered(received_since=rows.at(0)) == 2
    assert samples.unanswered(received_since=rows.at(4)) == 0


def test_imports_are_never_unanswered(samples, rows):
    samples.import_dataset("old", [ImportItem("x", b"data of x", "image/png", 1)])
    assert samples.unanswered(received_since=rows.at(0)) == 0


def test_a_label_may_come_before_its_image(samples, rows):
    samples.append_labels([rows.label("a", 1)])
    summary = samples.summary(rows.classes)
    assert (summary.images, summary.labelled, summary.waiting_for_image) == (0, 0, 1)
    samples.append_images([rows.image("a")])
    summary = samples.summary(rows.classes)
    assert (summary.images, summary.labelled, summary.waiting_for_image) == (1, 1, 0)


def test_names_are_looked_up_and_unknown_ones_counted(samples, rows):
    samples.append_images([rows.image(name) for name in "abcd"])
    samples.append_labels([rows.label("a", "two"), rows.label("b", "nobody"), rows.label("c", 3)])
    summary = samples.summary(rows.classes)
    assert labels_of(samples, rows) == {"a": 2}
    assert (summary.labelled, summary.unknown_labels, summary.waiting_for_label) == (1, 2, 1)
    assert [(c.name, c.labelled) for c in summary.classes] == [("zero", 0), ("one", 0), ("two", 1)]
    # Nothing is lost: a model with that class counts it.
    larger = samples.summary([*rows.classes, "nobody"])
    assert (larger.labelled, larger.unknown_labels) == (3, 0)


def test_the_first_received_of_several_images_counts(samples, rows):
    samples.append_images(
        [rows.image("a", t=5, data=b"second"), rows.image("a", t=6, data=b"third")]
    )
    samples.append_images([rows.image("a", t=4, data=b"first", origin="import")])
    samples.append_labels([rows.label("a", 0)])
    snapshot = samples.snapshot()
    index = samples.index(snapshot, rows.classes)
    assert samples.take(snapshot, index.row) == [b"first"]
    assert index.origin.tolist() == [IMPORT]
    assert samples.summary(rows.classes).images == 1


def test_fresh_is_what_was_not_labelled_before(samples, rows):
    samples.append_images([rows.image(name) for name in "abcde"])
    samples.append_images([rows.image("i", origin="import")])
    samples.append_labels([rows.label("a", 0), rows.label("b", 0), rows.label("c", 0)])
    since = samples.snapshot()
    samples.append_labels([rows.label("a", 1, t=9)])  # corrected: not new
    samples.append_labels([rows.label("b", None, t=9)])  # gone
    samples.append_labels([rows.label("d", 2), rows.label("i", 2), rows.label("x", 2)])
    summary = samples.summary(rows.classes, since=since)
    assert (summary.stream_labelled, summary.fresh_labelled) == (3, 1)
    index = samples.index(samples.snapshot(), rows.classes)
    fresh = samples.labelled_after(index, since)
    assert index.id[fresh].tolist() == ["d"]
    assert samples.summary(rows.classes, since=EMPTY).fresh_labelled == 3
    assert samples.summary(rows.classes).fresh_labelled == 3
    assert samples.summary(rows.classes, since=samples.snapshot()).fresh_labelled == 0
    assert samples.labelled_after(index, EMPTY).tolist() == (index.origin == STREAM).tolist()


def test_a_correction_of_an_unknown_label_is_fresh(samples, rows):
    samples.append_images([rows.image("a")])
    samples.append_labels([rows.label("a", "nobody")])
    since = samples.snapshot()
    samples.append_labels([rows.label("a", "one", t=1)])
    assert samples.summary(rows.classes, since=since).fresh_labelled == 1


def test_live_accuracy_is_taken_over_the_newest_labelled_answers(samples, rows):
    samples.append_predictions(
        [rows.prediction(f"i{n}", n % 3, version=1 if n < 6 else 2, t=n) for n in range(10)]
    )
    samples.append_labels([rows.label(f"i{n}", 0) for n in range(9)])
    summary = samples.summary(rows.classes, window=4)
    versions = [dataclasses.astuple(version) for version in summary.versions]
    # 9 has no label; the newest four are 8, 7, 6 (right) of version 2 and 5 of version 1.
    assert versions == [(1, 1, 0, 6), (2, 3, 1, 4)]
    everything = samples.summary(rows.classes, window=1000).versions
    assert [(v.labelled, v.correct) for v in everything] == [(6, 2), (3, 1)]


def test_answers_can_be_counted_from_a_snapshot_on(samples, rows):
    samples.append_predictions([rows.prediction(f"i{n}", 0, version=1, t=n) for n in range(4)])
    samples.append_labels([rows.label(f"i{n}", 0) for n in range(8)])
    trial = samples.snapshot()

    def counted(**since) -> list[tuple[int, ...]]:
        versions = samples.summary(rows.classes, **since).versions
        return [dataclasses.astuple(version) for version in versions]

    assert counted() == [(1, 4, 4, 4)]
    assert counted(answered_since=trial) == []
    # An answer that is given again is none of the trial's.
    samples.append_predictions([rows.prediction("i3", 1, version=2, t=20)])
    samples.append_predictions([rows.prediction(f"i{n}", n % 2, version=2, t=n) for n in (4, 5)])
    samples.append_predictions([rows.prediction("i6", 0, version=1, t=6)])
    assert counted(answered_since=trial) == [(1, 1, 1, 1), (2, 2, 1, 2)]
    assert counted(answered_since=EMPTY) == counted() == [(1, 5, 5, 5), (2, 2, 1, 2)]
    samples.compact()
    assert counted(answered_since=trial) == [(1, 1, 1, 1), (2, 2, 1, 2)]
    assert counted(answered_since=trial, window=1) == [(1, 1, 1, 1), (2, 0, 0, 2)]


def test_the_first_answer_counts(samples, rows):
    samples.append_predictions([rows.prediction("a", 1, version=2, t=5)])
    samples.append_predictions([rows.prediction("a", 0, version=1, t=4)] * 2)
    samples.append_labels([rows.label("a", 0)])
    (version,) = samples.summary(rows.classes).versions
    assert dataclasses.astuple(version) == (1, 1, 1, 1)


def test_the_index_ranks_labels_by_time(samples, rows):
    samples.append_images([rows.image(name) for name in "abc"])
    samples.append_labels(
        [rows.label("a", 0, t=3), rows.label("b", 0, t=1), rows.label("c", 0, t=2)]
    )
    samples.import_dataset("old", [ImportItem("i", b"x", "image/png", 1)])
    index = samples.index(samples.snapshot(), rows.classes)
    assert index.id[np.argsort(index.label_order)].tolist() == ["i", "b", "c", "a"]
    assert (np.diff(index.row) > 0).all()
    assert index.labelled_at[index.id == "i"].tolist() == [0]
    with pytest.raises(ValueError, match="read-only"):
        index.label[0] = 1


def test_an_empty_lake_has_an_empty_index(samples, rows):
    index = samples.index(samples.snapshot(), rows.classes)
    assert len(index) == 0
    assert samples.labelled_after(index, EMPTY).tolist() == []
    assert samples.take(samples.snapshot(), []) == []
    assert samples.summary(rows.classes).versions == ()


def test_the_split_is_fixed_by_the_group_and_test_is_kept(samples, rows):
    from hemline_api.hashing import split_of

    names = [f"n{n}" for n in range(200)]
    samples.append_images([rows.image(name) for name in names])
    samples.append_images([rows.image(f"{name}-crop", group=name) for name in names])
    samples.append_images([rows.image("t", split="test")])
    samples.append_labels(
        [rows.label(f"{name}{end}", 0) for name in names for end in ("", "-crop")]
    )
    samples.append_labels([rows.label("t", 0)])
    index = samples.index(samples.snapshot(), rows.classes)
    split = dict(zip(index.id.tolist(), index.split.tolist(), strict=True))
    assert split.pop("t") == TEST
    assert all(split[name] == split[f"{name}-crop"] for name in names)
    assert all(split[name] == (split_of(name) == "validation") for name in names)
    assert 0 < sum(split.values()) < 100


@pytest.mark.parametrize("classes", [[], ["a", "a"], "ab"])
def test_classes_must_be_names(samples, classes):
    with pytest.raises(InvalidOption, match="class names"):
        samples.summary(classes)


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_has_answers(samples, rows, window):
    with pytest.raises(InvalidOption, match="window"):
        samples.summary(rows.classes, window=window)


# The same meaning, written down a second time over plain lists, to compare with.


def expected(
    images: Sequence[ImageRow], labels: Sequence[LabelRow], classes: Sequence[str]
) -> dict[str, tuple[int, bytes, str]]:
    found = {}
    for id_ in {image.id for image in images}:
        image = min((i for i in images if i.id == id_), key=lambda i: i.received_at)
        mine = [label for label in labels if label.id == id_]
        if not mine:
            continue
        label = max(mine, key=lambda label: (label.time, label.event_id))
        if label.retracted:
            continue
        index = label.label
        if label.label_name is not None:
            index = classes.index(label.label_name) if label.label_name in classes else None
        if index is not None and index < len(classes):
            found[id_] = (index, image.data, image.origin)
    return found


ids = st.sampled_from(["a", "b", "c'd", "é", "e"])
seconds = st.integers(0, 5)


@st.composite
def histories(draw):
    from datetime import UTC, datetime, timedelta

    start = datetime(2026, 1, 1, tzinfo=UTC)
    number = itertools.count()

    def image(id_, t, origin):
        # Copies differ here, to tell which one was taken; no two arrive in the same microsecond.
        n = next(number)
        at = start + timedelta(seconds=t, microseconds=n)
        return ImageRow(id_, b"%d" % n, "image/png", at, origin)

    def label(id_, what, t):
        at = start + timedelta(seconds=t)
        return LabelRow(
            id_,
            what if isinstance(what, int) else None,
            what if isinstance(what, str) else None,
            at,
            f"{next(number)}",
            at,
            what is None,
        )

    what = st.sampled_from([0, 1, 2, 7, "zero", "two", "nobody", None])
    origin = st.sampled_from(["stream", "import"])
    images = draw(st.lists(st.builds(image, ids, seconds, origin), max_size=12))
    labels = draw(st.lists(st.builds(label, ids, what, seconds), max_size=16))
    # Redelivered: some rows come twice. In any order, in commits of any size.
    pool = [*images, *labels]
    again = draw(st.lists(st.sampled_from(pool), max_size=6)) if pool else []
    stream = draw(st.permutations([*pool, *again]))
    cuts = draw(st.lists(st.integers(0, len(stream)), max_size=4).map(sorted))
    compact = draw(st.integers(-1, len(cuts)))
    return images, labels, stream, cuts, compact


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories())
def test_order_redelivery_batching_and_compaction_change_nothing(tmp_path_factory, rows, history):
    images, labels, stream, cuts, compact = history
    lake = Lake(str(tmp_path_factory.mktemp("lake")), "mnist")
    followed = Samples.open(lake)
    for n, (start, end) in enumerate(itertools.pairwise([0, *cuts, len(stream)])):
        part = stream[start:end]
        followed.append_images([row for row in part if isinstance(row, ImageRow)])
        followed.append_labels([row for row in part if isinstance(row, LabelRow)])
        if n == compact:
            followed.compact()
        followed.summary(rows.classes)  # keeps the join moving with every commit
    want = expected(images, labels, rows.classes)
    snapshot = followed.snapshot()
    for reader in (followed, Samples.open(lake)):
        index = reader.index(snapshot, rows.classes)
        data = reader.take(snapshot, index.row)
        origin = ["stream" if o == STREAM else "import" for o in index.origin]
        got = zip(index.id.tolist(), index.label.tolist(), data, origin, strict=True)
        assert {id_: tuple(rest) for id_, *rest in got} == want
        summary = reader.summary(rows.classes)
        stream_ids = [id_ for id_, (_, _, origin) in want.items() if origin == "stream"]
        assert summary.labelled == len(want)
        assert summary.stream_labelled == len(stream_ids)
        assert summary.images == len({image.id for image in images})
        assert summary.waiting_for_label + summary.stream_labelled <= summary.stream_images
        reader.close()


def test_rows_refuse_what_no_table_can_hold(rows):
    good_image, good_label = rows.image("a"), rows.label("a", 1)
    good_answer = rows.prediction("a", 1)
    naive = rows.at(0).replace(tzinfo=None)
    for row, change, why in [
        (good_image, {"id": ""}, "id"),
        (good_image, {"id": "x" * 1025}, "id"),
        (good_image, {"id": None}, "id"),
        (good_image, {"id": "\ud800"}, "UTF-8"),
        (good_image, {"group": "\ud800"}, "UTF-8"),
        (good_image, {"data": b""}, "no bytes"),
        (good_image, {"received_at": naive}, "zone"),
        (good_image, {"origin": "elsewhere"}, "origin"),
        (good_image, {"split": "train"}, "hash"),
        (good_label, {"label": None}, "expected one"),
        (good_label, {"label_name": "one"}, "expected one"),
        (good_label, {"retracted": True}, "expected one"),
        (good_label, {"label": -1}, "index"),
        (good_label, {"label": 1 << 31}, "index"),
        (good_label, {"time": naive}, "zone"),
        (good_answer, {"label": -1}, "index"),
        (good_answer, {"model_version": 0}, "version"),
        (good_answer, {"predicted_at": naive}, "zone"),
    ]:
        with pytest.raises(BadRow, match=why):
            dataclasses.replace(row, **change)


def test_a_row_of_wrong_types_spoils_no_commit(samples, rows):
    bad = dataclasses.replace(rows.prediction("a", 1), confidence="much")
    with pytest.raises(BadRow, match="predictions"):
        samples.append_predictions([rows.prediction("b", 1), bad])
    with pytest.raises(BadRow, match="no bytes"):
        rows.image("a", data="text")
    bad = dataclasses.replace(rows.label("a", 1), source="\ud800")
    with pytest.raises(BadRow, match="labels"):
        samples.append_labels([rows.label("b", 1), bad])
    assert samples.snapshot() == Snapshot(images=1, labels=1, predictions=1)


def test_probabilities_are_kept(samples, rows):
    answer = dataclasses.replace(rows.prediction("a", 1), probabilities=[0.25, 0.5, 0.25])
    samples.append_predictions([answer, PredictionRow(**{**dataclasses.asdict(answer), "id": "b"})])
    table = samples.query("SELECT probabilities FROM predictions", classes=rows.classes)
    assert table["probabilities"].to_pylist() == [[0.25, 0.5, 0.25]] * 2
