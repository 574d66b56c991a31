"""After the stream: wait until the lake has it all, count there, score the versions, write everything down."""

import time
from collections.abc import Callable

from rich.console import Console

from hemline.demo._evaluate import score_held_out
from hemline.demo._plot import plot_data, write_html, write_png
from hemline.demo._report import summary_lines
from hemline.demo._script import Progress
from hemline.demo._settings import DemoSettings
from hemline.demo._summary import LakeCount, Summary, make_summary
from hemline_client_sim import Status

__all__ = ["finish"]

_LAKE_SECONDS = 60.0


def finish(
    settings: DemoSettings,
    books: Status,
    progress: Progress,
    *,
    lake_uri: str,
    demo_started: float,
    stop_up: Callable[[], int],
    console: Console,
) -> Summary:
    """Sum up, print, plot.

    Args:
        settings: of the demo.
        books: of the finished simulator.
        progress: what the lifecycle did.
        lake_uri: the lake of the installation.
        demo_started: Unix seconds.
        stop_up: ends `hemline up` and returns its exit status.
        console: where the summary goes.
    """
    with console.status("counting in the lake ..."):
        lake = _count_when_settled(lake_uri, settings.classifier, books)
    with console.status("ending hemline up ..."):
        code = stop_up()
    if code != 0:
        console.print(f"hemline up ended with status {code}", highlight=False)
    first = min((tally.version for tally in books.tallies), default=1)
    versions = [first, *progress.promoted[-1:]]
    with console.status("scoring versions on images that never travelled ..."):
        held_out = score_held_out(
            lake_uri,
            settings.classifier,
            versions,
            data=settings.data,
            cache=settings.state / "scored",
        )
    summary = make_summary(
        books,
        promoted=progress.promoted,
        lake=lake,
        held_out=held_out,
        demo_started=demo_started,
    )
    lines = summary_lines(summary)
    data = plot_data(books, progress.swaps)
    png, page = settings.state / "accuracy.png", settings.state / "accuracy.html"
    write_png(data, png)
    write_html(data, page, lines=lines)
    (settings.state / "summary.txt").write_text("\n".join(lines) + "\n")
    for line in ["", *lines, "", f"Plot: {png} and {page}"]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return summary


def _count_when_settled(lake_uri: str, classifier: str, books: Status) -> LakeCount:
    """Count the run's samples in the lake, waiting for those that `collect` has not committed yet."""
    from hemline_store import Lake
    from hemline_store.tables import Samples

    deadline = time.monotonic() + _LAKE_SECONDS
    while True:
        table = Samples.open(Lake(lake_uri, classifier)).query(
            "select count(*) as rows, count(distinct id) as images from answered "
            f"where starts_with(id, '{books.run}-')"
        )
        counted = table.to_pylist()[0]
        count = LakeCount(int(counted["rows"]), int(counted["images"]))
        if count.images >= books.scored or time.monotonic() > deadline:
            return count
        time.sleep(0.5)
