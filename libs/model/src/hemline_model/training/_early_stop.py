"""When a training has learned what it can: pure decisions from what was noted after each epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["CoolDown", "find_cool_down"]

_SHARE = 5


@dataclass(frozen=True, slots=True)
class CoolDown:
    """The early end of a training: from step `start` on, the learning rate falls to 0 by `end`."""

    start: int
    end: int
    elapsed_s: float
    """Seconds of training at `start`."""

    def remaining(self, step: int) -> float:
        """From 1 at the start to 0 at the end."""
        return max(0.0, (self.end - step) / (self.end - self.start))


def find_cool_down(
    notes: Sequence[Mapping[str, float]], patience: int | None, planned_steps: int
) -> CoolDown | None:
    """Say whether, and from where, a training is to end before its schedule does.

    It is when `patience` notes in a row brought no better validation accuracy. To stop there and
    then would keep weights that a high learning rate still shakes; so the rate first falls to
    nothing, over a fifth of the steps done (at least one epoch). None while it still gets better,
    or when the schedule ends sooner anyway. Needs nothing but the notes, so a resumed training
    decides as one that was never interrupted.
    """
    if patience is None:
        return None
    best, waited = -1.0, 0
    for note in notes:
        if note["validation_accuracy"] > best:
            best, waited = note["validation_accuracy"], 0
            continue
        waited += 1
        if waited == patience:
            start = int(note["step"])
            end = start + max(int(notes[0]["step"]), start // _SHARE)
            return CoolDown(start, end, note["elapsed_s"]) if end < planned_steps else None
    return None
