"""Books and journal together: what happens is written down first, then counted."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from hemline_client_sim._audit import audit
from hemline_client_sim._books import Books
from hemline_client_sim._errors import BadJournal
from hemline_client_sim._events import Event
from hemline_client_sim._journal import Header, Journal, read_journal

__all__ = ["Ledger", "open_ledger"]


class Ledger:
    """Takes events in, from one event loop.

    ``changed`` is set at every event, for whoever waits for the books to settle.
    """

    def __init__(self, header: Header, journal: Journal, books: Books) -> None:
        """Go on from these."""
        self.header = header
        self.journal = journal
        self.books = books
        self.changed = asyncio.Event()

    def record(self, *events: Event) -> None:
        """Write events down, then count them."""
        self.journal.append(events)
        for event in events:
            self.books.apply(event)
        self.changed.set()

    def counted_twice(self) -> int:
        """Count the journal a second time and compare: 0 when both agree."""
        _, events = read_journal(self.journal.path)
        return audit(events).counted_twice(self.books)


def open_ledger(path: Path, header: Header, *, window: int, resume: bool) -> Ledger:
    """Begin a journal, or go on with one: its run, seed and start then hold, and its books are read back.

    Raises:
        BadJournal: it cannot be read or written, or is of another stream than ``header`` describes.
    """
    if not resume:
        _forget_unused(path)
        return Ledger(header, Journal(path, header), Books(header.started, window))
    held, events = read_journal(path)
    _require_same_stream(path, held, header)
    journal = Journal(path)
    books = Books(held.started, window)
    for event in events:
        books.apply(event)
    return Ledger(held, journal, books)


def _forget_unused(path: Path) -> None:
    """A run that ended before anything happened (a taken port, say) shall not stand in the way of the next."""
    if path.is_file() and next(read_journal(path)[1], None) is None:
        path.unlink()


def _require_same_stream(path: Path, held: Header, wanted: Header) -> None:
    fields: Sequence[str] = ("classifier", "data", "seed", "drifts")
    for field in fields:
        if (old := getattr(held, field)) != (new := getattr(wanted, field)):
            raise BadJournal(
                f"{path} holds the books of another stream: {field} was {old!r}, received {new!r}; "
                "give the same options, or begin a new file without --resume"
            )
