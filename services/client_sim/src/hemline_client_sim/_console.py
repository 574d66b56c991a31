"""What a person watching sees: one line an answer, and the books at the end."""

from collections.abc import Callable

from hemline_client_sim._answers import Outcome
from hemline_client_sim._status import Status

__all__ = ["answer_line", "books_lines"]


def answer_line(outcome: Outcome, class_name: Callable[[int], str]) -> str:
    """``a1-204-17  sandal  97 %  version 2  right  12 ms``."""
    prediction = outcome.prediction
    if outcome.plan is None:
        verdict = "a repeat"
    elif outcome.plan.label == prediction.label:
        verdict = "right"
    else:
        verdict = f"wrong, it shows {class_name(outcome.plan.label)}"
    took = f"  {outcome.seconds * 1000:,.0f} ms" if outcome.seconds is not None else ""
    return (
        f"{prediction.id}  {prediction.label_name}  {prediction.confidence:.0%}  "
        f"version {prediction.model_version}  {verdict}{took}"
    )


def books_lines(status: Status) -> list[str]:
    """The books, a line each."""
    share = f"{status.right / status.scored:.1%}" if status.scored else "-"
    lines = [
        f"sent            {status.sent:,}",
        f"answered        {status.answered:,}",
        f"lost            {status.lost:,}",
        f"counted twice   {status.counted_twice or 0:,}",
        f"raw repeats     {status.repeats:,} ({status.differing:,} with another answer)",
        f"labels sent     {status.labels:,}",
        f"right           {status.right:,} of {status.scored:,} ({share})",
    ]
    if status.corrupt:
        lines.append(
            f"corrupt         {status.corrupt:,} sent, {status.corrupt_refused:,} dead-lettered"
        )
    if status.foreign:
        lines.append(f"other clients   {status.foreign:,} answers")
    names = {phase.number: phase.name for phase in status.phases}
    for tally in status.tallies:
        accuracy = f"{tally.right / tally.scored:.1%}" if tally.scored else "-"
        lines.append(
            f"  {names[tally.phase]}, version {tally.version}: {accuracy} of {tally.scored:,}"
        )
    verdict = "the books balance" if status.balanced else "the books do not balance:"
    return [*lines, verdict, *(f"  {problem}" for problem in status.problems)]
