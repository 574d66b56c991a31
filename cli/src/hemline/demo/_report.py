"""The summary in words."""

from collections.abc import Iterator

from hemline.demo._summary import Stage, Summary

__all__ = ["summary_lines"]


def summary_lines(summary: Summary) -> list[str]:
    """The summary as it is printed at the end."""
    return [*_books(summary), "", *_accuracy(summary), "", *_held_out(summary), *_verdict(summary)]


def _books(summary: Summary) -> Iterator[str]:
    books = summary.books
    first = summary.first_answer_seconds
    yield "The books"
    yield f"  sent           {books.sent:,}"
    yield f"  answered       {books.answered:,}"
    yield f"  lost           {books.lost:,}"
    yield f"  counted twice  {books.counted_twice or 0:,}"
    yield f"  raw repeats    {books.repeats:,}, {books.differing:,} of them with another answer"
    yield f"  labels sent    {books.labels:,}"
    if summary.lake is not None:
        yield (
            f"  in the lake    {summary.lake.images:,} images answered and labelled, "
            f"{summary.lake.counted_twice:,} counted twice"
        )
    if books.foreign:
        yield f"  other clients  {books.foreign:,} answers"
    if books.latency_p50 is not None and books.latency_p99 is not None:
        yield (
            f"  latency        p50 {books.latency_p50 * 1000:,.0f} ms, p99 {books.latency_p99 * 1000:,.0f} ms "
            "(last 1,000 answers)"
        )
    if first is not None:
        yield f"  first answer   {first:.1f} s after the demo began"


def _accuracy(summary: Summary) -> Iterator[str]:
    first = summary.first_version
    promoted = summary.promoted
    yield "Live accuracy"
    yield f"  before the drift                 {_share(summary.before)}"
    yield f"  during it, version {first}             {_share(summary.during)}"
    if promoted:
        yield (
            f"  after the first swap, version {promoted[0]}  {_share(summary.after_first)}"
            f"{_given(summary.given_back_first)}"
        )
        if len(promoted) > 1:
            yield (
                f"  at the end, version {promoted[-1]}            {_share(summary.end)}"
                f"{_given(summary.given_back_end)}"
            )
    else:
        yield "  no new version went live"


def _held_out(summary: Summary) -> Iterator[str]:
    if not summary.held_out:
        return
    yield "Odd-indexed official test images, which never travel"
    for score in summary.held_out:
        yield f"  version {score.version}  {score.accuracy:.2%} of {score.total:,}"
    if (loss := summary.held_out_loss) is not None:
        yield f"  {'lost' if loss >= 0 else 'gained'} {abs(loss):.2f} points"
    yield ""


def _verdict(summary: Summary) -> Iterator[str]:
    if not summary.problems:
        yield "The books balance and a new version went live."
        return
    yield "The demo did not end well:"
    for problem in summary.problems:
        yield f"  {problem}"


def _share(stage: Stage) -> str:
    return "-" if stage.accuracy is None else f"{stage.accuracy:6.1%} of {stage.total:,}"


def _given(share: float | None) -> str:
    return "" if share is None else f", {share:.0%} of the loss given back"
