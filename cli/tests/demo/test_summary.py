import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from hemline.demo._plot import plot_data, write_html, write_png
from hemline.demo._report import summary_lines
from hemline.demo._summary import HeldOut, LakeCount, Summary, make_summary


def made(samples: SimpleNamespace, **changes: object) -> Summary:
    options: dict[str, object] = {
        "promoted": [2, 3],
        "lake": LakeCount(3600, 3600),
        "held_out": [HeldOut(1, 4600, 5000), HeldOut(3, 4550, 5000)],
        "demo_started": samples.START - 8,
    }
    books = changes.pop("books", None) or samples.simulator()
    return make_summary(books, **(options | changes))


def test_stages_are_told_apart_by_phase_and_version(samples: SimpleNamespace) -> None:
    summary = made(samples)
    assert summary.before.accuracy == pytest.approx(0.9)
    assert summary.during.accuracy == pytest.approx(0.2)
    assert summary.after_first.accuracy == pytest.approx(0.8)
    assert summary.end.accuracy == pytest.approx(0.85)
    assert (summary.before.total, summary.during.total) == (400, 1400)
    assert summary.given_back_first == pytest.approx(6 / 7)
    assert summary.given_back_end == pytest.approx(0.65 / 0.7)
    assert summary.held_out_loss == pytest.approx(1.0)
    assert summary.first_answer_seconds == pytest.approx(8.02)
    assert summary.problems == ()


def test_the_summary_in_words(samples: SimpleNamespace) -> None:
    text = "\n".join(summary_lines(made(samples)))
    for expected in (
        "sent           3,600",
        "lost           0",
        "counted twice  0",
        "raw repeats    4, 0 of them",
        "before the drift",
        "90.0% of 400",
        "after the first swap, version 2",
        "86% of the loss given back",
        "93% of the loss given back",
        "version 3  91.00% of 5,000",
        "lost 1.00 points",
        "3,600 images answered and labelled",
        "The books balance and a new version went live.",
    ):
        assert expected in text, expected


@pytest.mark.parametrize(
    ("changes", "books", "words"),
    [
        ({"promoted": []}, {}, "no new version went live"),
        ({"lake": LakeCount(3601, 3600)}, {}, "the lake counts 1 images twice"),
        ({"lake": LakeCount(3599, 3599)}, {}, "the lake has 3,599"),
        ({}, {"problems": ["2 images were lost"]}, "books: 2 images"),
        ({}, {"state": "streaming"}, "not closed"),
        ({"lake": None}, {"sent": 0, "scored": 0, "tallies": []}, "no image was sent"),
    ],
)
def test_what_did_not_go_well_is_said(
    samples: SimpleNamespace,
    changes: dict[str, object],
    books: dict[str, object],
    words: str,
) -> None:
    summary = made(samples, books=samples.simulator(**books), **changes)
    assert any(words in problem for problem in summary.problems)
    assert "did not end well" in "\n".join(summary_lines(summary))


def test_without_a_drift_nothing_is_given_back(samples: SimpleNamespace) -> None:
    books = samples.simulator(
        tallies=[tally for tally in samples.simulator().tallies if tally.phase == 0]
    )
    summary = made(samples, books=books, promoted=[], held_out=[])
    assert summary.given_back_first is None
    assert summary.held_out_loss is None
    assert summary_lines(summary)


def test_the_plot_marks_drift_and_swaps(samples: SimpleNamespace, tmp_path: Path) -> None:
    books = samples.simulator()
    data = plot_data(
        books, [(samples.START + 90, "version 2 live"), (samples.START + 150, "v3 <live>")]
    )
    assert [(mark.at, mark.kind) for mark in data.marks] == [
        (20, "drift"),
        (90, "swap"),
        (150, "swap"),
    ]
    assert [curve.version for curve in data.curves] == [1, 2, 3]
    assert data.curves[0].points[-1].accuracy == pytest.approx(0.2)
    write_png(data, tmp_path / "plots" / "accuracy.png")
    with Image.open(tmp_path / "plots" / "accuracy.png") as image:
        assert image.size[0] > 1000
        assert len(image.convert("RGB").getcolors(1 << 24) or []) > 50
    write_html(data, tmp_path / "accuracy.html", lines=["lost 0 <b>"])
    page = (tmp_path / "accuracy.html").read_text()
    assert "version 2 live" in page
    assert "lost 0 &lt;b&gt;" in page
    # Nothing is fetched when it is opened.
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", page)


def test_an_empty_run_can_be_plotted(samples: SimpleNamespace, tmp_path: Path) -> None:
    data = plot_data(samples.simulator(bins=[], phases=samples.simulator().phases[:1]), [])
    write_png(data, tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000
