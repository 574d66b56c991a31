"""The live view as plain lines, for logs and pipes: one line now and then, and each event once."""

from hemline.top._view import LogLine, View

__all__ = ["event_line", "state_line"]


def state_line(view: View) -> str:
    """Where things stand, in one line."""
    parts = [_clock(view.elapsed), view.phase]
    if view.rate is not None:
        parts.append(f"{view.rate:.1f} images/s")
    if view.latency_p50 is not None and view.latency_p99 is not None:
        parts.append(f"p50 {view.latency_p50 * 1000:.0f} ms, p99 {view.latency_p99 * 1000:.0f} ms")
    if view.sent is not None:
        parts.append(f"sent {view.sent:,}, answered {view.answered:,}")
    if view.labels_waiting is not None:
        parts.append(f"{view.labels_waiting:,} labels waiting")
    if view.lag:
        parts.append("lag " + ", ".join(f"{topic} {n:,}" for topic, n in sorted(view.lag.items())))
    parts += [
        f"version {line.version}{f' ({line.role})' if line.role else ''} "
        + ("-" if line.accuracy is None else f"{line.accuracy:.1%}")
        for line in view.versions
    ]
    training = view.training
    if view.step is not None and view.steps:
        training += f" step {view.step:,} of {view.steps:,}"
    elif view.why:
        training += f": {view.why}"
    parts.append(training)
    return " | ".join(parts)


def event_line(event: LogLine) -> str:
    """One event."""
    return f"{event.at:%H:%M:%S} {event.kind}: {event.message}"


def _clock(seconds: float | None) -> str:
    minutes, rest = divmod(int(max(seconds or 0.0, 0.0)), 60)
    return f"{minutes}:{rest:02d}"
