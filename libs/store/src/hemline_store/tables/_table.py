"""One append-only Lance table: the only module that talks to Lance about writing and versions."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import lance
import pyarrow as pa

from hemline_store._errors import BadTable, Denied, SnapshotGone, StoreError, Unavailable
from hemline_store.tables._schema import TableSpec

__all__ = ["LanceTable", "lance_errors", "lance_session"]

_OPEN_VERSIONS: Final = 8


class LanceTable:
    """A table and its versions; made if it is missing. Safe for several threads and several processes.

    Raises:
        BadTable: there is a table of another shape.
        Denied, Unavailable: the storage refuses or does not answer.
    """

    def __init__(
        self, base: str, spec: TableSpec, options: Mapping[str, str], session: Any
    ) -> None:
        """Open the table."""
        self.spec = spec
        self.uri = f"{base}/{spec.name}.lance"
        self._open_args: dict[str, Any] = {"storage_options": dict(options), "session": session}
        self._lock = threading.Lock()
        self._versions: OrderedDict[int, Any] = OrderedDict()
        with lance_errors(self.uri):
            self._head: Any = self._open_or_create()
        self._check_schema()

    def append(self, rows: pa.Table) -> int:
        """Commit rows; when it returns they are durable. Returns the table's version with them.

        A process killed in here has written all of the rows or none.
        """
        with self._lock, lance_errors(self.uri):
            try:
                self._head = lance.write_dataset(rows, self._head, mode="append")
            except OSError:
                # What this handle read may have been cleaned up since, or too many wrote at once. Had the commit got
                # through after all, the rows would be there twice, which changes nothing that is read.
                self._head = lance.dataset(self.uri, **self._open_args)
                self._head = lance.write_dataset(rows, self._head, mode="append")
            return int(self._head.version)

    def version(self) -> int:
        """The newest version, whoever committed it."""
        with lance_errors(self.uri):
            return int(self._head.latest_version)

    def at(self, version: int) -> Any:
        """The table as it was at a version (a Lance data set, kept open for the next call).

        Raises:
            SnapshotGone: there is no such version (any more).
        """
        with self._lock:
            if (found := self._versions.get(version)) is not None:
                self._versions.move_to_end(version)
                return found
        with lance_errors(self.uri, version):
            opened = lance.dataset(self.uri, version=version, **self._open_args)
        with self._lock:
            self._versions[version] = opened
            while len(self._versions) > _OPEN_VERSIONS:
                self._versions.popitem(last=False)
        return opened

    def latest(self) -> Any:
        """A data set of its own at the newest version, to work on."""
        with lance_errors(self.uri):
            return lance.dataset(self.uri, **self._open_args)

    def forget(self) -> None:
        """Drop the open versions, after some were removed."""
        with self._lock:
            self._versions.clear()

    def _open_or_create(self) -> Any:
        try:
            return lance.dataset(self.uri, **self._open_args)
        except (ValueError, OSError) as error:
            if not _is_missing(error):
                raise
        try:
            return lance.write_dataset(
                self.spec.schema.empty_table(), self.uri, mode="create", **self._open_args
            )
        except OSError:
            # Another process was first: its table is as good.
            return lance.dataset(self.uri, **self._open_args)

    def _check_schema(self) -> None:
        found = {field.name: field.type for field in self._head.schema}
        for field in self.spec.schema:
            if found.get(field.name) != field.type:
                raise BadTable(
                    f"{self.uri} has column {field.name} of type {found.get(field.name)}; expected {field.type}: it "
                    "was written by another version of hemline"
                )


def lance_session(metadata_cache_bytes: int) -> Any:
    """A cache of manifests and file footers for several tables."""
    library: Any = lance
    return library.Session(metadata_cache_size_bytes=metadata_cache_bytes)


@contextmanager
def lance_errors(where: str, version: int | None = None) -> Iterator[None]:
    """Turn what Lance raises into this library's errors."""
    try:
        yield
    except StoreError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        if version is not None and _is_missing(error):
            raise SnapshotGone(
                f"{where} has no version {version}; it was cleaned up (tag a snapshot to keep it) or never was"
            ) from error
        if any(word in line.lower() for word in ("permission", "denied", "forbidden", "403")):
            raise Denied(f"{where}: the storage refuses access: {line}") from error
        raise Unavailable(f"{where}: {line}") from error


def _is_missing(error: Exception) -> bool:
    return "not found" in str(error).lower()
