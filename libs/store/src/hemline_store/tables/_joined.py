"""The joined tables at any snapshot: the newest kept and moved forward, an older one made for the occasion."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import duckdb

from hemline_store._errors import OutOfSpace, SnapshotGone
from hemline_store._snapshot import Snapshot
from hemline_store.tables._state import State

__all__ = ["Joined"]


class Joined:
    """Hands out the join at a snapshot. Safe for several threads: the kept one serves one at a time."""

    def __init__(self, new_state: Callable[[], State]) -> None:
        """Begin with nothing joined."""
        self._new_state = new_state
        self._lock = threading.Lock()
        self._kept: State | None = None

    @contextmanager
    def at(self, snapshot: Snapshot) -> Iterator[State]:
        """The join at ``snapshot``, to be used inside the ``with`` block alone.

        Raises:
            SnapshotGone: the snapshot's tables are gone.
            OutOfSpace: the join needs more than it may use.
        """
        try:
            with self._at(snapshot) as state:
                yield state
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise OutOfSpace(
                "the joined tables need more memory or scratch space than they may use; raise join_memory, or "
                f"expire old images: {' '.join(str(error).split())[:300]}"
            ) from error

    @contextmanager
    def _at(self, snapshot: Snapshot) -> Iterator[State]:
        with self._lock:
            if self._kept is None or _reachable(self._kept.snapshot, snapshot):
                yield self._move(snapshot)
                return
        state = self._made(snapshot)
        try:
            yield state
        finally:
            state.close()

    def close(self) -> None:
        """Free the memory."""
        with self._lock:
            if self._kept is not None:
                self._kept.close()
                self._kept = None

    def _move(self, snapshot: Snapshot) -> State:
        state, self._kept = (
            self._kept,
            None,
        )  # a half-moved one must not be found here after an error
        try:
            if state is not None and state.advance(snapshot):
                self._kept = state
                return state
        finally:
            if state is not None and self._kept is None:
                state.close()
        self._kept = self._made(snapshot)
        return self._kept

    def _made(self, snapshot: Snapshot) -> State:
        state = self._new_state()
        try:
            if state.advance(snapshot):
                return state
            raise SnapshotGone(f"{snapshot!r} cannot be read from the beginning")
        except BaseException:
            state.close()
            raise


def _reachable(kept: Snapshot, wanted: Snapshot) -> bool:
    return (
        kept.images <= wanted.images
        and kept.labels <= wanted.labels
        and kept.predictions <= wanted.predictions
    )
