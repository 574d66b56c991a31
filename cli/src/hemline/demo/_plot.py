"""Live accuracy over time, drift and swaps marked: a PNG, and an HTML page that needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemline.top import Point, moving_accuracy
from hemline_client_sim import Status

__all__ = ["Curve", "Mark", "PlotData", "plot_data", "write_html", "write_png"]

_WINDOW = 100
_COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3")
_TITLE = "Live accuracy, moving window of 100 answers, by the moment an image was sent"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment worth a line: seconds since the stream's start."""

    at: float
    label: str
    kind: str  # "drift" or "swap"


@dataclass(frozen=True, slots=True)
class Curve:
    """One version."""

    version: int
    points: tuple[Point, ...]

    @property
    def colour(self) -> str:
        """The same in both files."""
        return _COLOURS[(self.version - 1) % len(_COLOURS)]


@dataclass(frozen=True, slots=True)
class PlotData:
    """What is drawn."""

    title: str
    curves: tuple[Curve, ...]
    everything: tuple[Point, ...]
    marks: tuple[Mark, ...]


def plot_data(books: Status, swaps: Sequence[tuple[float, str]]) -> PlotData:
    """Turn books into curves.

    Args:
        books: of the simulator.
        swaps: Unix seconds and words of each change of the live version.
    """
    drifts = [
        Mark(phase.started - books.started, f"drift: {phase.name}", "drift")
        for phase in books.phases[1:]
        if phase.started is not None
    ]
    marks = [*drifts, *(Mark(at - books.started, words, "swap") for at, words in swaps)]
    versions = sorted({item.version for item in books.bins})
    return PlotData(
        title=f"{books.classifier}: {_TITLE}",
        curves=tuple(
            Curve(
                version,
                tuple(
                    moving_accuracy(
                        (item for item in books.bins if item.version == version), answers=_WINDOW
                    )
                ),
            )
            for version in versions
        ),
        everything=tuple(moving_accuracy(books.bins, answers=_WINDOW)),
        marks=tuple(sorted(marks, key=lambda mark: mark.at)),
    )


def write_png(data: PlotData, path: Path) -> None:
    """Draw with matplotlib, without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.plot(
        [point.at for point in data.everything],
        [100 * point.accuracy for point in data.everything],
        color="#999999",
        linewidth=5,
        alpha=0.4,
        label="all answers",
    )
    for curve in data.curves:
        axes.plot(
            [point.at for point in curve.points],
            [100 * point.accuracy for point in curve.points],
            color=curve.colour,
            linewidth=2,
            label=f"version {curve.version}",
        )
    for place, mark in enumerate(data.marks):
        colour, style = ("#b02fb0", "--") if mark.kind == "drift" else ("#2a8c4a", "-.")
        axes.axvline(mark.at, color=colour, linestyle=style, linewidth=1.5)
        axes.annotate(
            mark.label,
            (mark.at, 3 + 6 * (place % 4)),
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            fontsize=9,
        )
    axes.set(
        title=data.title,
        xlabel="seconds since the stream began",
        ylabel="accuracy, per cent",
        ylim=(0, 102),
    )
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, metadata={"Software": "hemline"})


def write_html(data: PlotData, path: Path, *, lines: Sequence[str] = ()) -> None:
    """Write a page that holds everything it needs, the drawing library included (about 4.5 MB).

    Args:
        data: what is drawn.
        path: the file.
        lines: the summary, shown below the plot.
    """
    import html

    import plotly.graph_objects as go
    import plotly.io

    figure: Any = go.Figure()
    figure.add_scatter(
        x=[point.at for point in data.everything],
        y=[100 * point.accuracy for point in data.everything],
        name="all answers",
        line={"color": "rgba(150,150,150,0.5)", "width": 6},
    )
    for curve in data.curves:
        figure.add_scatter(
            x=[point.at for point in curve.points],
            y=[100 * point.accuracy for point in curve.points],
            customdata=[point.answers for point in curve.points],
            hovertemplate="%{y:.1f} % of %{customdata} answers at %{x:.0f} s",
            name=f"version {curve.version}",
            line={"color": curve.colour, "width": 3},
        )
    for place, mark in enumerate(data.marks):
        colour, dash = ("#b02fb0", "dash") if mark.kind == "drift" else ("#2a8c4a", "dashdot")
        figure.add_vline(x=mark.at, line={"color": colour, "dash": dash, "width": 2})
        figure.add_annotation(
            x=mark.at,
            y=3 + 6 * (place % 4),
            text=html.escape(mark.label),
            showarrow=False,
            xanchor="left",
            xshift=4,
            font={"color": colour},
        )
    figure.update_layout(
        title=html.escape(data.title),
        xaxis_title="seconds since the stream began",
        yaxis_title="accuracy, per cent",
        yaxis_range=[0, 102],
        template="plotly_white",
        hovermode="x unified",
    )
    plot = plotly.io.to_html(figure, include_plotlyjs=True, full_html=False)
    summary = html.escape("\n".join(lines))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Hemline demo</title></head>\n'
        f'<body style="font-family: sans-serif">\n{plot}\n'
        f'<pre style="margin: 1em 4em">{summary}</pre>\n</body></html>\n',
        encoding="utf-8",
    )
