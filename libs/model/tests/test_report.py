"""The HTML report: class names are shown as they are, in any script."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np

import hemline_model as hm
from hemline_model._evaluate import evaluate
from hemline_model._report import write_report

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
            tmp_path / "report.html", card, dataclasses.replace(evaluation, classes=scores), few
        )
    text = (tmp_path / "report.html").read_text()
    matrix = text[text.index("<svg") : text.index("</svg>")]
    for name in ("$5_$", "$^$", "猫", "&lt;b&gt;"):
        # Once along each side.
        assert matrix.count(f">{name}</text>") == 2
