"""The journal: every event in one append-only file of JSON lines, from which the books follow.

An event is in the file before anything is made of it: before an image is sent, before an answer is acknowledged. A
line reaches the operating system in one write, so killing the process loses nothing; the file is synced to disk about
once a second (`sync`) and at the end, so a power cut loses at most that second. A line that a crash cut short is
dropped.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from hemline_client_sim._errors import BadJournal
from hemline_client_sim._events import (
    Answered,
    Ended,
    Event,
    Labelled,
    Planned,
    Refused,
    Resumed,
    Sent,
    Stray,
)

__all__ = ["Header", "Journal", "read_journal"]

_FORMAT: Final = 1
_CODES: Final[dict[type[Event], str]] = {
    Planned: "p",
    Sent: "s",
    Answered: "a",
    Refused: "d",
    Labelled: "l",
    Stray: "x",
    Ended: "e",
    Resumed: "r",
}
_TYPES: Final = {code: TypeAdapter(kind) for kind, code in _CODES.items()}
_FIELDS: Final = {code: tuple(kind.__slots__) for kind, code in _CODES.items()}


class Header(BaseModel):
    """The first line: what a resumed run must have in common with the one that began."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = _FORMAT
    run: str = Field(min_length=1, max_length=64)
    classifier: str
    data: str
    seed: int
    drifts: tuple[str, ...]
    started: float = Field(description="Unix seconds.")


class Journal:
    """The open file, as a context manager."""

    def __init__(self, path: Path, header: Header | None = None) -> None:
        """Open for appending.

        Args:
            path: the file.
            header: of a new run; the file must not exist. None goes on with an existing file.

        Raises:
            BadJournal: the file exists although a run begins, or cannot be written.
        """
        self.path = path
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        try:
            if header is None:
                _cut_torn_line(path)
                self._file = os.open(path, flags)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError as error:
            raise BadJournal(
                f"{path} holds the books of an earlier run; --resume goes on with it, or name another file"
            ) from error
        except OSError as error:
            raise BadJournal(f"cannot write the journal {path}: {error.strerror}") from error
        if header is not None:
            self._write(header.model_dump_json().encode() + b"\n")

    def __enter__(self) -> Self:
        """Nothing more to open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Sync and close."""
        os.fsync(self._file)
        os.close(self._file)

    def append(self, events: Sequence[Event]) -> None:
        """Write events in one go; they survive this process from here on."""
        if events:
            self._write(b"".join(_encode(event) for event in events))

    def sync(self) -> None:
        """Bring what was written to disk; may take a while, and may be called from another thread."""
        os.fdatasync(self._file)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


def read_journal(path: Path) -> tuple[Header, Iterator[Event]]:
    """The header, and the events as an iterator that reads line by line.

    Raises:
        BadJournal: there is no such file, its header is none, or a line other than the last is damaged (the last
            three while iterating).
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
        header = Header.model_validate_json(first)
    except OSError as error:
        raise BadJournal(f"cannot read the journal {path}: {error.strerror}") from error
    except ValidationError as error:
        raise BadJournal(
            f"{path} is no journal of a simulated client: its first line is {first[:60]!r}"
        ) from error
    if header.format != _FORMAT:
        raise BadJournal(f"{path}: received format {header.format}, expected {_FORMAT}")
    return header, _events(path)


def _events(path: Path) -> Iterator[Event]:
    with path.open("rb") as file:
        next(file, None)
        for number, line in enumerate(file, start=2):
            if not line.endswith(b"\n"):
                return
            yield _decode(line, path, number)


def _encode(event: Event) -> bytes:
    return (
        json.dumps([_CODES[type(event)], *astuple(event)], separators=(",", ":")).encode() + b"\n"
    )


def _decode(line: bytes, path: Path, number: int) -> Event:
    try:
        code, *values = json.loads(line)
        event: Event = _TYPES[code].validate_python(
            dict(zip(_FIELDS[code], values, strict=True)), strict=False
        )
    except (ValueError, KeyError, TypeError) as error:
        raise BadJournal(f"{path} line {number} is damaged: {line[:60]!r}") from error
    return event


def _cut_torn_line(path: Path) -> None:
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        while size > 0:
            start = max(size - 4096, 0)
            file.seek(start)
            place = file.read(size - start).rfind(b"\n")
            if place >= 0:
                file.truncate(start + place + 1)
                return
            size = start
