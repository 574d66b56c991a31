import threading
from datetime import timedelta

import pytest

from hemline_store import InvalidOption, Snapshot, SnapshotGone
from hemline_store.tables import Samples
from hemline_store.tables._tags import Tags

NOW = timedelta(0)


def commits(samples, rows, start, count):
    for n in range(start, start + count):
        samples.append_images([rows.image(f"i{n}")])
        samples.append_labels([rows.label(f"i{n}", 0)])


def test_the_first_snapshot_keeps_the_name(lake, samples, rows):
    commits(samples, rows, 0, 1)
    first = samples.snapshot()
    assert samples.tagged("run") is None
    assert samples.tag("run", first) == first
    commits(samples, rows, 1, 1)
    assert samples.tag("run", samples.snapshot()) == first
    assert Samples.open(lake).tagged("run") == first
    assert samples.tags() == {"run": first}


def test_any_uid_can_be_a_name(samples):
    snapshot = samples.snapshot()
    names = ["a/b", "ü", "..", "x" * 256, "0f2b-11", "with space"]
    for name in names:
        assert samples.tag(name, snapshot) == snapshot
    assert samples.tags() == dict.fromkeys(names, snapshot)
    with pytest.raises(InvalidOption, match="1 to 256"):
        samples.tag("", snapshot)


def test_many_who_ask_at_once_get_one_answer(lake, rows):
    readers = [Samples.open(lake) for _ in range(6)]
    commits(readers[0], rows, 0, 6)
    answers: list[Snapshot] = []
    gate = threading.Barrier(6)

    def ask(n: int) -> None:
        gate.wait()
        answers.append(readers[n].tag("run", Snapshot(images=n + 1, labels=n + 1, predictions=1)))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert readers[0].tagged("run") == answers[0]


def test_a_tagged_snapshot_survives_everything(lake, samples, rows):
    commits(samples, rows, 0, 5)
    kept = samples.snapshot()
    samples.tag("run", kept)
    before = samples.index(kept, rows.classes)
    data = samples.take(kept, before.row)
    commits(samples, rows, 5, 3)
    untagged = samples.snapshot()
    samples.compact()
    samples.expire(NOW, now=rows.at(10))
    cleaned = samples.clean(NOW)
    assert cleaned.versions > 0
    reader = Samples.open(lake)
    after = reader.index(kept, rows.classes)
    assert after.id.tolist() == before.id.tolist()
    assert after.row.tolist() == before.row.tolist()
    assert reader.take(kept, after.row) == data
    assert reader.summary(rows.classes, since=kept).fresh_labelled == 3
    for call in (
        lambda: reader.index(untagged, rows.classes),
        lambda: reader.take(untagged, [0]),
        lambda: reader.tag("late", untagged),
        lambda: reader.summary(rows.classes, since=untagged),
    ):
        with pytest.raises(SnapshotGone, match="no version"):
            call()
    # An error leaves nothing broken behind.
    assert reader.summary(rows.classes).images == 8


def test_a_tagger_that_died_in_between_is_made_good_before_clean_up(
    lake, samples, rows, monkeypatch
):
    commits(samples, rows, 0, 2)
    kept = samples.snapshot()
    with monkeypatch.context() as patch:
        patch.setattr(Tags, "_protect", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            samples.tag("run", kept)
    commits(samples, rows, 2, 2)
    samples.compact()
    samples.clean(NOW)
    assert len(Samples.open(lake).index(kept, rows.classes)) == 2


def test_a_name_taken_away_protects_no_longer(lake, samples, rows):
    commits(samples, rows, 0, 2)
    old = samples.snapshot()
    samples.tag("run/1", old)
    samples.untag("run/1")
    samples.untag("run/1")
    assert samples.tags() == {}
    commits(samples, rows, 2, 1)
    samples.clean(NOW)
    with pytest.raises(SnapshotGone):
        Samples.open(lake).index(old, rows.classes)


def test_old_names_go_but_for_those_of_models(lake, samples, rows, model_dir):
    commits(samples, rows, 0, 1)
    of_model = samples.snapshot()
    samples.tag("model-run", of_model)
    lake.models.publish(model_dir(snapshot=of_model.model_dump()), uid="model-run")
    lake.models.publish(model_dir("first", snapshot=None), uid="initial")
    commits(samples, rows, 1, 1)
    samples.tag("failed-run", samples.snapshot())
    commits(samples, rows, 2, 1)
    assert samples.clean(NOW, tags_older_than=timedelta(hours=1)).tags == ()
    assert samples.clean(NOW, tags_older_than=NOW).tags == ("failed-run",)
    assert samples.tags() == {"model-run": of_model}
    assert len(Samples.open(lake).index(of_model, rows.classes)) == 1


def test_what_never_was_cannot_be_tagged(samples):
    with pytest.raises(SnapshotGone):
        samples.tag("run", Snapshot(images=99, labels=1, predictions=1))
    assert samples.tagged("run") is None
