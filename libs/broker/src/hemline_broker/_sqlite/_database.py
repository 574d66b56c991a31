"""Opening the database: pragmas, schema, errors."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hemline_broker._errors import (
    BrokerError,
    Denied,
    InvalidOption,
    TransactionAborted,
    Unavailable,
)
from hemline_broker._sqlite._settings import Settings

_VERSION = 1
BUSY_S = 10.0

# Messages lie in chunks, as many as were sent together: one row to write and one to read instead of hundreds, which
# spares the interpreter lock most of its hand-overs. A message's number in its topic is its chunk's `base` plus its
# place in it. What a consumer holds is a claim on a range of numbers; `state` is JSON of what in it is done.
_SCHEMA = """
CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    next INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    base INTEGER NOT NULL,
    count INTEGER NOT NULL,
    size INTEGER NOT NULL,
    sent REAL NOT NULL,
    meta TEXT NOT NULL,
    data BLOB NOT NULL
);
CREATE UNIQUE INDEX chunks_by_base ON chunks (topic, base, count, size, sent);
CREATE TABLE groups (
    id INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    name TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    UNIQUE (topic, name)
);
CREATE TABLE claims (
    id INTEGER PRIMARY KEY,
    grp INTEGER NOT NULL,
    owner TEXT,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    state TEXT
);
CREATE INDEX claims_by_group ON claims (grp, owner);
CREATE TABLE consumers (
    name TEXT PRIMARY KEY,
    seen REAL NOT NULL
) WITHOUT ROWID;
"""


def open_database(settings: Settings) -> sqlite3.Connection:
    """A connection for one thread, with the schema in place.

    Raises:
        Unavailable, Denied, InvalidOption: the file cannot be opened, or is something else.
    """
    with translated("open the broker file"):
        connection = sqlite3.connect(
            settings.uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S
        )
        try:
            _prepare(connection, settings)
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare(connection: sqlite3.Connection, settings: Settings) -> None:
    if settings.beside is not None:
        _use_wal(connection)
        settings.beside.mkdir(exist_ok=True)
    connection.execute(f"PRAGMA synchronous={settings.sync}")
    connection.execute("PRAGMA journal_size_limit=67108864")
    if connection.execute("PRAGMA user_version").fetchone()[0] == _VERSION:
        return
    with transaction(connection):
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                raise InvalidOption("the file is an SQLite database of another program")
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={_VERSION}")
        elif version != _VERSION:
            raise InvalidOption(
                f"the broker file has format {version}, this library reads {_VERSION}; start with a new file"
            )


def _use_wal(connection: sqlite3.Connection) -> None:
    # Two processes that switch a new file to WAL at the same moment get "locked" without the busy handler being
    # asked; whoever is second finds it done.
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction; rolled back when the body raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A failed COMMIT (disk full) may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def all_or_nothing(connection: sqlite3.Connection, deadline: float) -> Iterator[None]:
    """A write transaction of `Broker.transaction`, whose error says how it ended.

    Args:
        connection: of this thread.
        deadline: until when to wait for the write lock, seconds of `time.monotonic`; at most `BUSY_S` from now.

    Raises:
        Unavailable: COMMIT itself failed, so nobody knows.
        BrokerError: any other: surely nothing took effect; see `aborting`.
    """
    committing = False
    with aborting(connection, deadline):
        try:
            with transaction(connection):
                yield
                committing = True
        except sqlite3.Error as error:
            if committing:
                raise Unavailable(
                    f"nobody knows whether the transaction took effect: {error}"
                ) from error
            raise


@contextmanager
def aborting(connection: sqlite3.Connection, deadline: float) -> Iterator[None]:
    """For what comes before a COMMIT: what would be `Unavailable` elsewhere is `TransactionAborted` here."""
    left = min(max(deadline - time.monotonic(), 0.0), BUSY_S)
    try:
        connection.execute(f"PRAGMA busy_timeout={int(left * 1000)}")
        yield
    except BrokerError:
        raise
    except sqlite3.Error as error:
        problem = as_broker_error(error, "make the transaction")
        if isinstance(problem, Unavailable):
            problem = TransactionAborted(str(problem))
        raise problem from error
    except Exception as error:  # whatever it was, it came before COMMIT
        raise TransactionAborted(f"{type(error).__name__}: {error}") from error
    finally:
        connection.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise as_broker_error(error, doing) from error


def as_broker_error(error: sqlite3.Error, doing: str) -> BrokerError:
    """The error of ours that says the same."""
    name = getattr(error, "sqlite_errorname", "")
    text = f"cannot {doing}: {error}"
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return Denied(text)
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return InvalidOption(f"{text}; the file is damaged or no SQLite database")
    return Unavailable(text)
