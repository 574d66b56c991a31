"""The thread that writes for a broker: sends are committed together, as many as wait."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from hemline_broker._errors import BrokerError, Closed, NotFound, Unavailable
from hemline_broker._message import Message, Receipt, Receipts
from hemline_broker._sqlite._chunks import Chunk, encode, split
from hemline_broker._sqlite._cleaner import clean
from hemline_broker._sqlite._database import as_broker_error, open_database, transaction
from hemline_broker._sqlite._settings import Settings

T = TypeVar("T")
_log = logging.getLogger(__name__)

_CLEAN_EVERY_S = 10.0
_TOGETHER_MESSAGES = 4096
_TOGETHER_BYTES = 32 << 20
_QUEUED_BYTES = 256 << 20


@dataclass(slots=True, eq=False)
class _Send:
    topic: str
    messages: Sequence[Message]
    future: asyncio.Future[Any]
    size: int


@dataclass(slots=True, eq=False)
class _Call:
    function: Callable[[sqlite3.Connection], object]
    future: asyncio.Future[Any]


_Job = _Send | _Call | None


class Writer:
    """Owns one connection and its thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._queued = 0
        self._space = asyncio.Event()
        self._space.set()
        self._closed = False
        self._cleaned_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="sqlite writer", daemon=True)
        self._opened: asyncio.Future[Any] = self._loop.create_future()

    async def start(self) -> None:
        """Open the database; raises what that raises."""
        self._thread.start()
        await self._opened

    async def send(self, topic: str, messages: Sequence[Message]) -> Sequence[Receipt]:
        """Make messages durable, all or none."""
        # Waiting here is the back-pressure: what is queued would otherwise have no bound.
        while self._queued > _QUEUED_BYTES:
            self._space.clear()
            await self._space.wait()
        size = sum(len(message.data) for message in messages)
        job = _Send(topic, messages, self._future(), size)
        self._queued += size
        self._jobs.put(job)
        receipts: Sequence[Receipt] = await job.future
        return receipts

    async def call(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Run something on the thread."""
        job = _Call(function, self._future())
        self._jobs.put(job)
        result: T = await job.future
        return result

    async def close(self) -> None:
        """Finish what is queued and end the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _future(self) -> asyncio.Future[Any]:
        if self._closed or not self._thread.is_alive():
            raise Closed("the broker was closed")
        return self._loop.create_future()

    # --- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            connection = open_database(self._settings)
        except BrokerError as error:
            self._answer([(self._opened, error)])
            return
        with closing(connection):
            self._answer([(self._opened, None)])
            while (jobs := self._next()) is not None:
                sends = [job for job in jobs if isinstance(job, _Send)]
                if sends:
                    self._send(connection, sends)
                for job in jobs:
                    if isinstance(job, _Call):
                        self._answer([(job.future, _outcome(job.function, connection))])
                self._clean(connection)

    def _next(self) -> list[_Send | _Call] | None:
        """The jobs that wait, at least one; a call ends the run, so that it sees what was sent; None at the end."""
        first = self._jobs.get()
        if first is None:
            return None
        jobs: list[_Send | _Call] = [first]
        count = size = 0
        while isinstance(jobs[-1], _Send):
            count += len(jobs[-1].messages)
            size += jobs[-1].size
            if count >= _TOGETHER_MESSAGES or size >= _TOGETHER_BYTES:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
        return jobs

    def _send(self, connection: sqlite3.Connection, sends: Sequence[_Send]) -> None:
        by_topic: dict[str, list[_Send]] = {}
        for job in sends:
            by_topic.setdefault(job.topic, []).append(job)
        answers: list[tuple[asyncio.Future[Any], object]] = []
        try:
            chunks = {
                topic: [encode(run) for run in split([m for job in jobs for m in job.messages])]
                for topic, jobs in by_topic.items()
            }
            with transaction(connection):
                for topic, jobs in by_topic.items():
                    answers += append(connection, topic, jobs, chunks[topic])
        except sqlite3.Error as error:
            answers = [(job.future, as_broker_error(error, "send")) for job in sends]
        except Exception as error:  # noqa: BLE001 - the senders must be told, whatever it was
            problem = BrokerError(f"cannot send: {type(error).__name__}: {error}")
            answers = [(job.future, problem) for job in sends]
        self._answer(answers, sum(job.size for job in sends))

    def _clean(self, connection: sqlite3.Connection) -> None:
        if time.monotonic() - self._cleaned_at < _CLEAN_EVERY_S:
            return
        try:
            clean(connection, self._settings)
        except sqlite3.Error as error:
            _log.warning("old messages could not be deleted: %s", error)
        self._cleaned_at = time.monotonic()

    def _answer(self, answers: Sequence[tuple[asyncio.Future[Any], object]], size: int = 0) -> None:
        def resolve() -> None:
            self._queued -= size
            self._space.set()
            for future, result in answers:
                if future.done():
                    continue
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)

        try:
            self._loop.call_soon_threadsafe(resolve)
        except RuntimeError:
            _log.debug("the event loop ended before the answer")


def append(
    connection: sqlite3.Connection, topic: str, jobs: Sequence[_Send], chunks: Sequence[Chunk]
) -> list[tuple[asyncio.Future[Any], object]]:
    """Write chunks to a topic, inside a transaction; the answer for each job."""
    base = insert(connection, topic, chunks)
    if base is None:
        missing = no_such_topic(topic)
        return [(job.future, missing) for job in jobs]
    answers: list[tuple[asyncio.Future[Any], object]] = []
    for job in jobs:
        ids = [message.id for message in job.messages]
        offsets = range(base, base + len(ids))
        base += len(ids)
        answers.append((job.future, Receipts(topic, ids, [0] * len(ids), offsets)))
    return answers


def insert(connection: sqlite3.Connection, topic: str, chunks: Sequence[Chunk]) -> int | None:
    """Write chunks inside a transaction; the number of the first message, None when there is no such topic."""
    total = sum(chunk.held for chunk in chunks)
    row = connection.execute(
        "UPDATE topics SET next = next + ? WHERE name = ? RETURNING id, next - ?",
        (total, topic, total),
    ).fetchone()
    if row is None:
        return None
    topic_id, base = row
    now = time.time()
    number = base
    rows = []
    for chunk in chunks:
        rows.append((topic_id, number, chunk.held, chunk.size, now, chunk.meta, chunk.data))
        number += chunk.held
    connection.executemany(
        "INSERT INTO chunks (topic, base, count, size, sent, meta, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    return int(base)


def insert_all(connection: sqlite3.Connection, outputs: Mapping[str, Sequence[Message]]) -> None:
    """Write messages to several topics inside a transaction.

    Raises:
        NotFound: one of the topics does not exist.
    """
    for topic, messages in outputs.items():
        if insert(connection, topic, [encode(run) for run in split(messages)]) is None:
            raise no_such_topic(topic)


def no_such_topic(topic: str) -> NotFound:
    """The same words wherever a topic is missing."""
    return NotFound(f"topic {topic!r} does not exist; call ensure({topic!r}) first")


def _outcome(
    function: Callable[[sqlite3.Connection], object], connection: sqlite3.Connection
) -> object:
    try:
        return function(connection)
    except sqlite3.Error as error:
        return as_broker_error(error, "use the broker file")
    except BrokerError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the caller must be told, whatever it was
        return Unavailable(f"{type(error).__name__}: {error}")
