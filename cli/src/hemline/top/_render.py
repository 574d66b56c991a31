"""The live view as rich draws it."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hemline.top._sparkline import sparkline
from hemline.top._view import LogLine, VersionLine, View

__all__ = ["render"]

_GOOD, _FAIR = 0.80, 0.50
_PROCESS_STYLES = {"running": "green", "starting": "yellow", "failed": "red", "restarting": "red"}
_STYLES = {
    "Promoted": "bold green",
    "RolledBack": "bold red",
    "Refused": "yellow",
    "ProcessRestarted": "red",
    "Drift": "bold magenta",
}


def render(view: View) -> RenderableType:
    """Draw the view at whatever width there is; at most about 35 lines high."""
    top = Table.grid(expand=True, padding=(0, 1))
    top.add_column(ratio=1)
    top.add_column(ratio=1)
    top.add_row(_stream(view), _labels(view))
    return Group(
        _title(view),
        top,
        _accuracy(view.versions),
        _lifecycle(view),
        _processes(view),
        _log(view.events),
    )


def _title(view: View) -> Text:
    text = Text(" hemline ", style="bold black on cyan")
    text.append(f" {view.title} ", style="bold")
    if view.elapsed is not None:
        text.append(f" {_clock(view.elapsed)} ", style="cyan")
    text.append(f" {view.state} ", style="dim")
    drifted = view.phase not in ("-", "clean")
    text.append(f" camera: {view.phase} ", style="bold white on magenta" if drifted else "green")
    if view.next_drift is not None:
        name, seconds = view.next_drift
        text.append(f" {name} in {seconds:.0f} s", style="magenta")
    return text


def _stream(view: View) -> Panel:
    grid = _pairs(
        ("rate", f"{_number(view.rate, '.1f')} images/s"),
        ("latency p50 / p99", f"{_ms(view.latency_p50)} / {_ms(view.latency_p99)}"),
        ("sent · answered", f"{_count(view.sent)} · {_count(view.answered)}"),
        ("waiting · raw repeats", f"{_count(view.unanswered)} · {_count(view.repeats)}"),
    )
    return Panel(grid, title="stream", title_align="left", box=box.ROUNDED)


def _labels(view: View) -> Panel:
    lag = ", ".join(f"{topic} {number:,}" for topic, number in sorted(view.lag.items())) or "-"
    grid = _pairs(
        ("labels sent", _count(view.labels)),
        ("labels waiting", _count(view.labels_waiting)),
        ("lag", lag),
        ("first answer after", f"{_ms(view.first_answer_seconds)}"),
    )
    return Panel(grid, title="labels", title_align="left", box=box.ROUNDED)


def _accuracy(versions: Sequence[VersionLine]) -> Panel:
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True)
    for line in versions:
        style = _accuracy_style(line.accuracy)
        table.add_row(
            Text(f"version {line.version}", style="bold" if line.role else "dim"),
            Text(line.role, style="cyan"),
            Text(f"{_percent(line.accuracy)} of {line.answers}", style=style),
            Text(sparkline(line.history), style=style),
        )
    if not versions:
        table.add_row(Text("no answer with a label yet", style="dim"))
    return Panel(
        table, title="live accuracy, newest labelled answers", title_align="left", box=box.ROUNDED
    )


def _lifecycle(view: View) -> Panel:
    head = Text(view.training, style="bold")
    if view.why:
        head.append(f": {view.why}", style="not bold")
    rows: list[RenderableType] = [head]
    if view.step is not None and view.steps:
        loss = f", loss {view.loss:.3f}" if view.loss is not None else ""
        rows.append(_bar(view.step, view.steps, f"step {view.step:,} of {view.steps:,}{loss}"))
    elif view.fresh is not None and view.due_at:
        rows.append(
            _bar(view.fresh, view.due_at, f"{view.fresh:,} of {view.due_at:,} new labelled samples")
        )
    return Panel(Group(*rows), title="lifecycle", title_align="left", box=box.ROUNDED)


def _bar(done: int, total: int, words: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=40)
    grid.add_column()
    grid.add_row(ProgressBar(total=total, completed=min(done, total), width=40), words)
    return grid


def _processes(view: View) -> Text:
    text = Text(" ")
    for process in view.processes:
        text.append("● ", style=_PROCESS_STYLES.get(process.state, "dim"))
        text.append(process.name)
        if process.restarts:
            text.append(f" (restarts: {process.restarts})", style="yellow")
        text.append("   ")
    return text


def _log(events: Sequence[LogLine]) -> Panel:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column()
    for event in events:
        table.add_row(
            event.at.strftime("%H:%M:%S"),
            Text(event.kind, style=_STYLES.get(event.kind, "")),
            Text(event.message),
        )
    if not events:
        table.add_row("", Text("nothing yet", style="dim"), "")
    return Panel(table, title="events", title_align="left", box=box.ROUNDED)


def _pairs(*pairs: tuple[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, value in pairs:
        grid.add_row(name, value)
    return grid


def _accuracy_style(accuracy: float | None) -> str:
    if accuracy is None:
        return "dim"
    return "green" if accuracy >= _GOOD else "yellow" if accuracy >= _FAIR else "red"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0)), 60)
    return f"{minutes}:{rest:02d}"


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:,.0f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _percent(value: float | None) -> str:
    return "  -  " if value is None else f"{value:6.1%}"
