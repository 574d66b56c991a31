"""Phases: which changes hold at which moment of the stream.

Moments are seconds of real time since the stream began; ``--speed`` does not scale them, because a person who says
"after thirty seconds" looks at a clock. Changes add up: each holds from its moment on, until ``none``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from hemline_client_sim._drift import Change
from hemline_client_sim._errors import BadDrift

__all__ = ["Phase", "Phases"]

_MOMENT = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


@dataclass(frozen=True, slots=True)
class Phase:
    """What the stream is like from ``at`` (seconds since its start) on."""

    number: int
    at: float
    changes: tuple[Change, ...]

    @property
    def name(self) -> str:
        """For people: ``clean``, ``inversion``, ``inversion, blur:1.5``."""
        return ", ".join(str(change) for change in self.changes) or "clean"

    @property
    def mix(self) -> Change | None:
        """The class mix that holds, if any."""
        return next((change for change in reversed(self.changes) if change.kind == "mix"), None)


@dataclass(frozen=True, slots=True)
class Phases:
    """The phases of a stream in order; the first begins at 0."""

    items: tuple[Phase, ...] = (Phase(0, 0.0, ()),)

    def at(self, elapsed: float) -> Phase:
        """The phase that holds ``elapsed`` seconds after the start."""
        return next(phase for phase in reversed(self.items) if phase.at <= max(elapsed, 0.0))

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Read ``KIND[:AMOUNT][@MOMENT]`` items, in any order; without a moment a change holds from the start.

        Raises:
            BadDrift: an item cannot be read.
        """
        marked = sorted((_parse(text) for text in texts), key=lambda item: item[0])
        phases = [Phase(0, 0.0, ())]
        for moment, change in marked:
            held = phases[-1].changes
            changes = () if change.kind == "none" else (*held, change)
            if moment == phases[-1].at:
                phases[-1] = Phase(len(phases) - 1, moment, changes)
            else:
                phases.append(Phase(len(phases), moment, changes))
        return cls(tuple(phases))


def _parse(text: str) -> tuple[float, Change]:
    what, at, moment = text.partition("@")
    if not at:
        return 0.0, Change.parse(what)
    match = _MOMENT.fullmatch(moment)
    if match is None:
        raise BadDrift(
            f"drift {text!r}: received moment {moment!r}, expected a time since the start such as 30s, 500ms or 2m"
        )
    return float(match["number"]) * _SECONDS[match["unit"]], Change.parse(what)
