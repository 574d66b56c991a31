"""What the live view shows, as plain data: a pure function of what the processes said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hemline.top._moving import moving_accuracy
from hemline.up._status import ProcessStatus, UpStatus
from hemline_client_sim import BinStatus, Status

__all__ = ["Inference", "LogLine", "Observed", "VersionLine", "View", "make_view"]

_HISTORY_CELLS = 40
_HISTORY_SECONDS = 80.0
_EVENTS = 8


@dataclass(frozen=True, slots=True)
class Inference:
    """What inference's metrics say where no simulator runs: images per second, latency in seconds."""

    rate: float | None = None
    latency_p50: float | None = None
    latency_p99: float | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """One look at everything; None where a process did not answer."""

    now: float
    """Unix seconds."""
    up: UpStatus | None = None
    simulator: Status | None = None
    inference: Inference | None = None
    lag: Mapping[str, int] | None = None
    """Messages not yet acknowledged, by ``topic`` of the services' groups."""
    notes: Sequence[tuple[float, str, str]] = ()
    """Events that the watcher itself adds: Unix seconds, kind, message."""


@dataclass(frozen=True, slots=True)
class VersionLine:
    """Live accuracy of one version."""

    version: int
    role: str
    accuracy: float | None
    answers: int
    history: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One event."""

    at: datetime
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything that is drawn."""

    title: str
    elapsed: float | None
    state: str
    phase: str
    next_drift: tuple[str, float] | None
    """Name of the drift to come, and seconds until then."""
    rate: float | None
    latency_p50: float | None
    latency_p99: float | None
    sent: int | None
    answered: int | None
    unanswered: int | None
    repeats: int | None
    labels: int | None
    labels_waiting: int | None
    lag: Mapping[str, int]
    first_answer_seconds: float | None
    versions: tuple[VersionLine, ...]
    training: str
    why: str
    fresh: int | None
    due_at: int | None
    step: int | None
    steps: int | None
    loss: float | None
    processes: tuple[ProcessStatus, ...]
    events: tuple[LogLine, ...]


def make_view(observed: Observed, *, title: str) -> View:
    """Put together what is drawn."""
    up = observed.up
    simulator = observed.simulator
    inference = observed.inference or Inference()
    tune = up.fine_tune if up else None
    return View(
        title=title,
        elapsed=observed.now - simulator.started if simulator else None,
        state=simulator.state if simulator else ("up" if observed.up else "starting"),
        phase=simulator.phases[simulator.phase].name if simulator else "-",
        next_drift=_next_drift(simulator, observed.now),
        rate=simulator.rate if simulator else inference.rate,
        latency_p50=simulator.latency_p50 if simulator else inference.latency_p50,
        latency_p99=simulator.latency_p99 if simulator else inference.latency_p99,
        sent=simulator.sent if simulator else None,
        answered=simulator.answered if simulator else None,
        unanswered=simulator.unanswered if simulator else None,
        repeats=simulator.repeats if simulator else None,
        labels=simulator.labels if simulator else None,
        labels_waiting=simulator.labels_waiting if simulator else None,
        lag=dict(observed.lag or {}),
        first_answer_seconds=_first_answer(simulator),
        versions=_versions(up, simulator, observed.now),
        training=tune.state if tune else "-",
        why=tune.why if tune else "",
        fresh=tune.fresh if tune else None,
        due_at=tune.due_at if tune else None,
        step=tune.step if tune else None,
        steps=tune.steps if tune else None,
        loss=tune.loss if tune else None,
        processes=up.processes if up else (),
        events=_events(observed),
    )


def _first_answer(simulator: Status | None) -> float | None:
    if simulator is None or simulator.first_answer is None or simulator.first_sent is None:
        return None
    return simulator.first_answer - simulator.first_sent


def _next_drift(simulator: Status | None, now: float) -> tuple[str, float] | None:
    if simulator is None:
        return None
    elapsed = now - simulator.started
    coming = [phase for phase in simulator.phases if phase.at > elapsed]
    return (coming[0].name, coming[0].at - elapsed) if coming else None


def _versions(up: UpStatus | None, simulator: Status | None, now: float) -> tuple[VersionLine, ...]:
    known = (
        {share.version: (share.right, share.total) for share in simulator.window}
        if simulator
        else {}
    )
    if up is not None:
        for version in up.versions:
            known.setdefault(version.version, (version.correct, version.labelled))
        known.setdefault(up.live, (0, 0))
        if up.canary is not None:
            known.setdefault(up.canary.version, (0, 0))
    bins = simulator.bins if simulator else []
    elapsed = now - simulator.started if simulator else 0.0
    return tuple(
        VersionLine(
            version,
            _role(up, version),
            right / total if total else None,
            total,
            _history([item for item in bins if item.version == version], elapsed),
        )
        for version, (right, total) in sorted(known.items())
    )


def _role(up: UpStatus | None, version: int) -> str:
    if up is None:
        return ""
    if version == up.live:
        return "live"
    if up.canary is not None and version == up.canary.version:
        return f"canary {up.canary.fraction:.0%}"
    return ""


def _history(bins: Sequence[BinStatus], elapsed: float) -> tuple[float | None, ...]:
    """The last ``_HISTORY_SECONDS`` in ``_HISTORY_CELLS`` cells, newest last; None where there was no answer."""
    width = _HISTORY_SECONDS / _HISTORY_CELLS
    cells: list[float | None] = [None] * _HISTORY_CELLS
    for point in moving_accuracy(bins, answers=60, seconds=10.0):
        place = _HISTORY_CELLS - 1 - int(max(elapsed - point.at, 0.0) // width)
        if place >= 0:
            cells[place] = point.accuracy
    return tuple(cells)


def _events(observed: Observed) -> tuple[LogLine, ...]:
    lines = [
        LogLine(event.at.astimezone(), event.kind, event.message)
        for event in (observed.up.events if observed.up else ())
    ]
    lines += [
        LogLine(datetime.fromtimestamp(at).astimezone(), kind, message)
        for at, kind, message in observed.notes
    ]
    return tuple(sorted(lines, key=lambda line: line.at)[-_EVENTS:])
