"""A report on a model as one HTML file that needs nothing else: no scripts, no other files."""

import base64
import html
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from hemline_model._card import Card
from hemline_model._data import Problem, Split
from hemline_model._errors import MissingExtra
from hemline_model._evaluate import Evaluation, Mistake
from hemline_model._split import SplitName

try:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtra(
        "reports need matplotlib, which is not installed: install hemline-model[train]"
    ) from error

__all__ = ["Course", "write_report"]

_MISTAKES, _PAIRS, _MATRIX_CLASSES, _PROBLEMS = 40, 20, 40, 50
_CERTAIN = 0.1
_SHOWN = {
    "train": "A model that was trained on this data set has learned from these: it is better on them than on "
    "new ones.",
    "validation": "A training on this data set does not learn from these, but chooses by them when to end and "
    "how sure to be.",
    "test": "A training on this data set leaves these alone until its end.",
    "all": "This says how good the model is if it never saw this data set.",
}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: #1b1f24; background: #fff; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #d8dee4; }
th:first-child, td:first-child { text-align: left; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; } .figures svg { max-width: 100%; height: auto; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(8rem, 1fr)); gap: 1rem; }
figure { margin: 0; font-size: .8rem; } figure img { width: 100%; image-rendering: pixelated; }
pre { overflow-x: auto; background: #f6f8fa; padding: 1rem; font-size: .8rem; }
"""


class Course(Protocol):
    """The way a training went: the loss of each step, and what was noted after each epoch."""

    @property
    def losses(self) -> Sequence[float]: ...

    @property
    def notes(self) -> Sequence[Mapping[str, float]]: ...


def write_report(
    path: Path,
    card: Card,
    evaluation: Evaluation,
    split: Split,
    shown: SplitName | Literal["all"],
    *,
    course: Course | None = None,
    problems: Sequence[Problem] = (),
) -> None:
    """Write what is known of a model: scores on `split`, mistakes, curves when it was just trained.

    `shown` says which part of the data set `split` is, and `problems` what was wrong with the data.
    """
    low, high = evaluation.interval
    title = f"{card.name or 'A model'}: {len(card.classes)} classes"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>Accuracy <strong>{evaluation.accuracy:.2%}</strong> on {evaluation.images:,} images of "
        f"{'all splits' if shown == 'all' else f'the {shown} split'} (95 % interval {low:.2%} to "
        f"{high:.2%}). {_SHOWN[shown]}</p><p>Input {card.input}; made {card.created:%Y-%m-%d %H:%M} "
        "UTC.</p>",
    ]
    if course is not None and course.losses:
        parts += ["<h2>Training</h2>", _figures([_loss_curve(course), _accuracy_curve(course)])]
    parts += ["<h2>Classes</h2>", _class_table(evaluation)]
    parts += ["<h2>Confusions</h2>", _confusions(evaluation, card.classes)]
    parts += [
        "<h2>Calibration</h2>",
        "<p>How often the model is right when it says it is this sure. Expected calibration error "
        f"{evaluation.calibration_before:.4f} before the temperature, "
        f"{evaluation.calibration_after:.4f} after it ({card.temperature:.3f}).{_caution(evaluation)}"
        "</p>",
        _figures([_reliability(evaluation)]),
    ]
    if evaluation.mistakes:
        surest = evaluation.mistakes[:_MISTAKES]
        parts += [
            f"<h2>Worst mistakes</h2><p>The {len(surest)} surest of {len(evaluation.mistakes):,}.</p>",
            _contact_sheet(surest, split),
        ]
    if problems:
        parts += ["<h2>Problems in the data</h2>", _list_of(problems)]
    parts += ["<h2>Card</h2>", f"<pre>{html.escape(card.model_dump_json(indent=2))}</pre>"]
    document = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )
    path.write_text(document, encoding="utf-8")


def _class_table(evaluation: Evaluation) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(score.name)}</td><td>{score.images:,}</td>"
        f"<td>{_percent(score.recall)}</td><td>{_percent(score.precision)}</td></tr>"
        for score in evaluation.classes
    )
    head = "<tr><th>class</th><th>images</th><th>found</th><th>right when named</th></tr>"
    return f"<table>{head}{rows}</table>"


def _caution(evaluation: Evaluation) -> str:
    """What to add where so few images were looked at that a small error means nothing."""
    low, high = evaluation.interval
    if high - low < _CERTAIN:
        return ""
    return (
        f" These {evaluation.images:,} images are too few to tell: what is right this often among them "
        f"is right {low:.2%} to {high:.2%} of the time, and the error is known no closer than that."
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"  # noqa: RUF001 - a dash


def _list_of(problems: Sequence[Problem]) -> str:
    items = "".join(f"<li>{html.escape(str(problem))}</li>" for problem in problems[:_PROBLEMS])
    hidden = len(problems) - _PROBLEMS
    more = f"<p>And {hidden:,} more: <code>hemline inspect</code> lists them all.</p>"
    return f"<ul>{items}</ul>{more if hidden > 0 else ''}"


def _confusions(evaluation: Evaluation, classes: Sequence[str]) -> str:
    off_diagonal = evaluation.confusion.copy()
    np.fill_diagonal(off_diagonal, 0)
    order = np.argsort(-off_diagonal, axis=None, kind="stable")[:_PAIRS]
    rows = []
    for truth, named in zip(*np.unravel_index(order, off_diagonal.shape), strict=True):
        if count := int(off_diagonal[truth, named]):
            rows.append(
                f"<tr><td>{html.escape(classes[int(truth)])}</td>"
                f"<td>{html.escape(classes[int(named)])}</td><td>{count:,}</td></tr>"
            )
    table = "<table><tr><th>is</th><th>taken for</th><th>images</th></tr>" + "".join(rows)
    matrix = [_matrix(evaluation, classes)] if len(classes) <= _MATRIX_CLASSES else []
    return _figures(matrix) + table + "</table>"


def _contact_sheet(mistakes: Sequence[Mistake], split: Split) -> str:
    return '<div class="sheet">' + "".join(_mistake(m, split) for m in mistakes) + "</div>"


def _mistake(mistake: Mistake, split: Split) -> str:
    pixels = np.asarray(split.images[mistake.row])
    stream = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(stream, "PNG")
    picture = base64.b64encode(stream.getvalue()).decode()
    name = html.escape(mistake.id)
    return (
        f'<figure><img src="data:image/png;base64,{picture}" alt="{name}" title="{name}">'
        f"<figcaption>{html.escape(mistake.truth)}, taken for {html.escape(mistake.predicted)} "
        f"({mistake.confidence:.0%})</figcaption></figure>"
    )


def _figures(figures: Sequence[Figure]) -> str:
    return '<div class="figures">' + "".join(_to_svg(figure) for figure in figures) + "</div>"


def _to_svg(figure: Figure) -> str:
    stream = io.StringIO()
    FigureCanvasSVG(figure)
    # Names stay text, which the reader's browser has the glyphs for, whatever is installed here.
    with matplotlib.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _axes(
    title: str, x: str, y: str, *, size: tuple[float, float] = (4.6, 3.2)
) -> tuple[Figure, Any]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def _loss_curve(course: Course) -> Figure:
    figure, axes = _axes("Loss", "step", "mean of 50 steps")
    losses = np.array(course.losses)
    window = min(50, len(losses))
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.plot(np.arange(window, len(losses) + 1), smooth)
    axes.grid(alpha=0.3)
    return figure


def _accuracy_curve(course: Course) -> Figure:
    figure, axes = _axes("Validation accuracy", "epoch", "fraction right")
    axes.plot(
        [note["epoch"] for note in course.notes],
        [note["validation_accuracy"] for note in course.notes],
        marker=".",
    )
    axes.grid(alpha=0.3)
    return figure


def _reliability(evaluation: Evaluation) -> Figure:
    figure, axes = _axes("Reliability", "confidence", "fraction right")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    confidence, right, images = (np.array(column) for column in zip(*evaluation.bins, strict=True))
    axes.scatter(confidence, right, s=10 + 150 * images / images.max())
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    axes.grid(alpha=0.3)
    return figure


def _matrix(evaluation: Evaluation, classes: Sequence[str]) -> Figure:
    side = max(4.0, 0.42 * len(classes) + 1.5)
    figure, axes = _axes("Confusion matrix", "predicted", "true", size=(side, side))
    confusion = evaluation.confusion
    share = confusion / np.maximum(1, confusion.sum(axis=1, keepdims=True))
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=90, parse_math=False)
    axes.set_yticks(range(len(classes)), classes, parse_math=False)
    if len(classes) <= 20:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                shade = "white" if share[row, column] > 0.5 else "black"
                axes.text(
                    column, row, f"{count}", ha="center", va="center", color=shade, fontsize=7
                )
    return figure
