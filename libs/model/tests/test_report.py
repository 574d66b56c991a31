"""The HTML report: what it says is true, and names are shown as they are, in any script."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import hemline_model as hm
from hemline_model._evaluate import evaluate, score
from hemline_model._report import write_report
from hemline_model.cli import app

NAMES = ["$5_$", "$^$", "猫", "<b>", *"efghij"]


def test_names_that_are_no_formulas(tmp_path: Path) -> None:
    sample = hm.dataset("fashion-mnist-sample").split("test")
    few = hm.Split(sample.ids[:40], sample.labels[:40], sample.images[np.arange(40)])
    classifier = hm.load(hm.pretrained())
    evaluation = evaluate(classifier, few)
    scores = [
        dataclasses.replace(score, name=name)
        for score, name in zip(evaluation.classes, NAMES, strict=True)
    ]
    card = classifier.card.model_copy(update={"classes": NAMES})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_report(
            tmp_path / "report.html",
            card,
            dataclasses.replace(evaluation, classes=scores),
            few,
            "test",
        )
    text = (tmp_path / "report.html").read_text()
    matrix = text[text.index("<svg") : text.index("</svg>")]
    for name in ("$5_$", "$^$", "猫", "&lt;b&gt;"):
        # Once along each side.
        assert matrix.count(f">{name}</text>") == 2


@pytest.fixture
def classifier() -> hm.Classifier:
    return hm.load(hm.pretrained())


def few(*labels: int, count: int = 20) -> hm.Split:
    """Test images of some classes."""
    sample = hm.dataset("fashion-mnist-sample").split("test")
    rows = np.flatnonzero(np.isin(sample.labels, labels))[:count]
    return hm.Split([sample.ids[row] for row in rows], sample.labels[rows], sample.images[rows])


def test_few_images_do_not_show_a_calibration(tmp_path: Path, classifier: hm.Classifier) -> None:
    said = "images are too few to tell: what is right this often among them is right"
    for count in (9, 1_000):
        split = few(*range(10), count=count)
        found = evaluate(classifier, split)
        path = tmp_path / f"{count}.html"
        write_report(path, classifier.card, found, split, "test")
        assert (said in path.read_text()) == (count == 9)


@pytest.mark.parametrize(("right", "count"), [(0, 2), (0, 6), (20, 20)])
def test_an_interval_stays_between_none_and_all(right: int, count: int) -> None:
    labels = np.zeros(count, np.int64)
    split = hm.Split([str(n) for n in range(count)], labels, np.zeros((count, 8, 8, 1), np.uint8))
    logits = np.tile(np.array([[1.0, 0.0]] if right else [[0.0, 1.0]], np.float32), (count, 1))
    low, high = score(logits, split, ["a", "b"], 1.0).interval
    assert 0 <= low < high <= 1
    assert (low == 0) != (high == 1)


def test_which_images_it_is_about(tmp_path: Path, classifier: hm.Classifier) -> None:
    split = few(*range(10))
    said = {}
    for shown in ("train", "validation", "test", "all"):
        path = tmp_path / f"{shown}.html"
        write_report(path, classifier.card, evaluate(classifier, split), split, shown)
        said[shown] = path.read_text()
    assert "on 20 images of the train split" in said["train"]
    assert "has learned from these" in said["train"]
    assert "on 20 images of the validation split" in said["validation"]
    assert "on 20 images of the test split" in said["test"]
    assert "on 20 images of all splits" in said["all"]
    assert "if it never saw this data set" in said["all"]
    assert not any("not trained on" in text for text in said.values())
    # And by the command line.
    report = tmp_path / "report.html"
    command = ["test", "fashion-mnist-sample", "--split", "validation", "--report", str(report)]
    assert CliRunner().invoke(app, command).exit_code == 0
    assert "images of the validation split" in report.read_text()


def test_a_class_without_images_has_no_score(tmp_path: Path, classifier: hm.Classifier) -> None:
    split = few(1, 8)
    evaluation = evaluate(classifier, split)
    scores = {score.name: score for score in evaluation.classes}
    assert scores["trouser"].recall == 1
    assert scores["coat"].recall is None
    assert scores["sandal"].precision is None
    write_report(tmp_path / "report.html", classifier.card, evaluation, split, "test")
    text = (tmp_path / "report.html").read_text()
    assert "<td>sandal</td><td>0</td><td>–</td><td>–</td>" in text  # noqa: RUF001
    assert "<td>trouser</td><td>10</td><td>100.00%</td>" in text


def test_problems_of_the_data(tmp_path: Path, classifier: hm.Classifier) -> None:
    split = few(1, 8)
    evaluation = evaluate(classifier, split)
    path = tmp_path / "report.html"
    problems = [hm.Problem(f"a/<{n}>.png", "cannot be read; left out") for n in range(60)]
    write_report(path, classifier.card, evaluation, split, "test", problems=problems)
    text = path.read_text()
    assert text.count("<li>") == 50
    assert "<li>a/&lt;49&gt;.png: cannot be read; left out</li>" in text
    assert "And 10 more" in text
    write_report(path, classifier.card, evaluation, split, "test", problems=problems[:50])
    assert "more: <code>" not in path.read_text()
    write_report(path, classifier.card, evaluation, split, "test")
    assert "<h2>Problems" not in path.read_text()
