from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemline_api import ApiError, BadEvent, BadReport, BadRollout
from hemline_api.events import Label, Prediction
from hemline_api.hashing import split_of, unit_hash
from hemline_api.metrics import TABLE
from hemline_api.report import DIGEST_BYTES, Evaluation, SnapshotRef, TrainingReport, Verdict
from hemline_api.rollout import Canary, Rollout
from hemline_api.topics import Topics

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def report(**changes: object) -> TrainingReport:
    fields: dict[str, object] = {
        "uid": "mnist-ft-1",
        "classifier": "mnist",
        "verdict": Verdict.IMPROVED,
        "base_version": 1,
        "version": 2,
        "snapshot": SnapshotRef(images=3, labels=4, predictions=5),
        "samples": 9000,
        "fresh_samples": 500,
        "steps": 250,
        "batch_size": 128,
        "started_at": NOW,
        "finished_at": NOW,
    }
    return TrainingReport.model_validate(fields | changes)


def test_topics_carry_classifier_and_namespace() -> None:
    assert Topics("mnist").images == "mnist.images"
    assert Topics("mnist", "shop").dead == "shop.mnist.dead"
    assert len(set(Topics("mnist").all())) == 4


@pytest.mark.parametrize("name", ["", "Mnist", "-a", "a.b", "a" * 64, "a_b"])
def test_a_bad_classifier_name_is_refused(name: str) -> None:
    with pytest.raises(ApiError, match="classifier name: received"):
        Topics(name)


def test_a_prediction_survives_the_wire() -> None:
    sent = Prediction(
        id="a",
        label=5,
        label_name="Sandal",
        confidence=0.9,
        model_version=1,
        received_at=NOW,
        predicted_at=NOW,
    )
    assert Prediction.from_json(sent.to_json()) == sent
    assert b"probabilities" not in sent.to_json()


@pytest.mark.parametrize("label", [3, "Sandal", None])
def test_a_label_survives_the_wire(label: int | str | None) -> None:
    sent = Label(id="a", label=label)
    assert Label.from_json(sent.to_json()) == sent


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"id":"a"}',
        b'{"id":"","label":1}',
        b'{"id":"a","label":true}',
        b'{"id":"a","label":-1}',
    ],
)
def test_what_is_no_label_says_so_in_one_line(body: bytes) -> None:
    with pytest.raises(BadEvent, match="no label: ") as caught:
        Label.from_json(body)
    assert "\n" not in str(caught.value)


def test_unknown_fields_of_events_are_let_through() -> None:
    assert Label.from_json(b'{"id":"a","label":1,"later":true}').label == 1


@given(st.text(), st.text())
def test_a_hash_is_a_stable_fraction(salt: str, key: str) -> None:
    value = unit_hash(salt, key)
    assert 0.0 <= value < 1.0
    assert value == unit_hash(salt, key)


def test_a_tenth_of_the_ids_is_held_out() -> None:
    held_out = sum(split_of(f"image-{n}") == "validation" for n in range(10_000))
    assert 900 < held_out < 1100


def test_the_same_image_goes_to_the_same_version_and_the_canary_gets_its_share() -> None:
    rollout = Rollout(revision=3, stable=1, canary=Canary(version=2, fraction=0.2))
    chosen = [rollout.version_for(f"image-{n}") for n in range(5000)]
    assert chosen == [rollout.version_for(f"image-{n}") for n in range(5000)]
    assert 0.17 < chosen.count(2) / len(chosen) < 0.23
    assert rollout.versions() == (1, 2)
    assert Rollout.from_json(rollout.to_json()) == rollout


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "document"),
        (b'{"revision":1}', "stable"),
        (b'{"revision":0,"stable":1}', "revision"),
        (
            b'{"revision":1,"stable":1,"canary":{"version":1,"fraction":0.5}}',
            "both stable and canary",
        ),
        (b'{"revision":1,"stable":1,"canary":{"version":2,"fraction":1.5}}', "fraction"),
        (b'{"revision":1,"stable":1,"extra":1}', "extra"),
    ],
)
def test_a_bad_rollout_document_is_refused_by_field(body: bytes, problem: str) -> None:
    with pytest.raises(BadRollout, match=problem):
        Rollout.from_json(body)


def test_a_report_survives_the_wire_and_says_whether_it_may_go_live() -> None:
    assert TrainingReport.from_json(report().to_json()) == report()
    assert report().promotable
    assert not report(version=None).promotable
    assert not report(verdict=Verdict.REGRESSED).promotable
    with pytest.raises(BadReport, match="uid"):
        TrainingReport.from_json(b"{}")


def test_the_digest_of_the_longest_report_fits_a_termination_message() -> None:
    evaluation = Evaluation(
        name="n" * 64, samples=1, candidate_accuracy=1, incumbent_accuracy=0, worst_class="é" * 256
    )
    long = report(uid="u" * 256, reasons=("r" * 512,) * 20, evaluations=(evaluation,) * 10)
    digest = long.digest()
    assert len(digest) < DIGEST_BYTES
    assert TrainingReport.from_json(digest).verdict is long.verdict


def test_metric_names_follow_the_rule() -> None:
    names = [metric.name for metric in TABLE]
    assert len(set(names)) == len(names)
    for metric in TABLE:
        component, *what = metric.name.removeprefix("hemline_").split("_")
        assert metric.name.startswith("hemline_")
        assert component
        assert len(what) >= 1
        assert not metric.name.endswith("_total")
        assert "id" not in metric.labels
        assert bool(metric.buckets) == (metric.kind == "histogram")
