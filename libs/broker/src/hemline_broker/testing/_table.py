"""The suite as a table: what each backend runs, and what it skips by which capability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hemline_broker.testing._behaviour import RESTART, Behaviour
from hemline_broker.testing._sources import NON_GOALS

__all__ = ["rewrite", "table"]

_BEGIN = "<!-- made by `python -m hemline_broker.testing`: begin -->"
_END = "<!-- made by `python -m hemline_broker.testing`: end -->"
_RUNS = "runs"


def table(suite: Sequence[Behaviour], backends: Mapping[str, frozenset[str]]) -> str:
    """A Markdown table of the behaviours, with a column for each backend.

    Args:
        suite: the behaviours.
        backends: name → capabilities, and `RESTART` where the tests can restart its server.
    """
    lines = [
        _row(("behaviour", "what is demanded", "known as", *backends)),
        _row(("---",) * (3 + len(backends))),
    ]
    for each in suite:
        cells = [_cell(each, abilities) for abilities in backends.values()]
        lines.append(_row((f"`{each.name}`", each.meaning, ", ".join(each.sources), *cells)))
    counts = [_count(suite, abilities) for abilities in backends.values()]
    lines.append(_row((f"**{len(suite)}**", "", "", *counts)))
    lines += ["", "Not in the suite, on purpose:", ""]
    lines += [f"- {name}: {reason}." for name, reason in NON_GOALS.items()]
    return "\n".join(lines)


def rewrite(page: Path, content: str) -> None:
    """Put the table between the page's two marks.

    Raises:
        ValueError: the page has no such marks.
    """
    text = page.read_text()
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the lines {_BEGIN!r} and {_END!r}")
    page.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}")


def _cell(each: Behaviour, abilities: frozenset[str]) -> str:
    reason = each.skipped_by(abilities)
    if reason is None:
        return _RUNS
    if reason in each.only_without:
        return f"skipped: has `{reason}`"
    return "skipped: no server" if reason == RESTART else f"skipped: no `{reason}`"


def _count(suite: Sequence[Behaviour], abilities: frozenset[str]) -> str:
    return f"**{sum(each.skipped_by(abilities) is None for each in suite)}**"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
