"""Named snapshots: what a name stands for is decided once, and clean-up leaves it alone.

The name is decided by one conditional create of ``samples/tags/<name>.json``; Lance's own tags, which are what keeps
its clean-up away, follow from it and are set again before every clean-up, so a process killed in between loses nothing.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from hemline_store._errors import BadTable, SnapshotGone
from hemline_store._names import object_name
from hemline_store._objects import Objects
from hemline_store._snapshot import Snapshot
from hemline_store.tables._table import LanceTable, lance_errors

__all__ = ["Tags"]

_FOLDER: Final = "samples/tags/"
_MAX_TAG_BYTES: Final = 16 << 10


class _Tag(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    snapshot: Snapshot


class Tags:
    """Tags of the three tables together."""

    def __init__(self, objects: Objects, tables: tuple[LanceTable, ...]) -> None:
        """Keep the places."""
        self._objects = objects
        self._tables = tables

    def put(self, name: str, snapshot: Snapshot) -> Snapshot:
        """Give a snapshot a name; returns the snapshot that has the name, the first one that got it."""
        path = _path(name)
        tag = _Tag(name=name, snapshot=snapshot)
        if self._objects.get(path, limit=_MAX_TAG_BYTES) is None:
            self._check(snapshot)
            self._objects.put_new(path, tag.model_dump_json().encode())
        if (holder := self.get(name)) is None:
            raise SnapshotGone(f"the tag {name!r} was removed while it was made")
        self._protect(name, holder)
        return holder

    def get(self, name: str) -> Snapshot | None:
        """The snapshot that has the name, or None."""
        tag = self._read(_path(name))
        return tag.snapshot if tag else None

    def all(self) -> dict[str, Snapshot]:
        """Every name and its snapshot."""
        tags = (self._read(stored.path) for stored in self._objects.listing(_FOLDER))
        return {tag.name: tag.snapshot for tag in tags if tag}

    def remove(self, name: str) -> None:
        """Take a name away; clean-up may then remove its versions."""
        self._objects.delete([_path(name)])
        for table in self._tables:
            data = table.latest()
            with lance_errors(table.uri):
                if object_name(name) in data.tags.list():
                    data.tags.delete(object_name(name))

    def protect_all(self) -> None:
        """Make sure that Lance knows of every tag."""
        for name, snapshot in self.all().items():
            self._protect(name, snapshot)

    def remove_older(self, than: timedelta, keep: set[Snapshot]) -> list[str]:
        """Remove names given longer ago than that, but for those of the snapshots in ``keep``."""
        before = datetime.now(UTC) - than
        removed = []
        for stored in list(self._objects.listing(_FOLDER)):
            if stored.modified < before and (tag := self._read(stored.path)):
                if tag.snapshot in keep:
                    continue
                self.remove(tag.name)
                removed.append(tag.name)
        return removed

    def _read(self, path: str) -> _Tag | None:
        if (data := self._objects.get(path, limit=_MAX_TAG_BYTES)) is None:
            return None
        try:
            return _Tag.model_validate_json(data)
        except ValidationError as error:
            raise BadTable(f"{self._objects.uri}/{path} is no tag of a snapshot") from error

    def _check(self, snapshot: Snapshot) -> None:
        for table, version in self._versions(snapshot):
            table.at(version)

    def _protect(self, name: str, snapshot: Snapshot) -> None:
        lance_name = object_name(name)
        for table, version in self._versions(snapshot):
            data: Any = table.latest()
            with lance_errors(table.uri, version):
                if lance_name in data.tags.list():
                    continue
                try:
                    data.tags.create(lance_name, version)
                except ValueError:
                    # Another process may have set it meanwhile, to the same version.
                    if lance_name not in data.tags.list():
                        raise

    def _versions(self, snapshot: Snapshot) -> list[tuple[LanceTable, int]]:
        numbers = (snapshot.images, snapshot.labels, snapshot.predictions)
        return list(zip(self._tables, numbers, strict=True))


def _path(name: str) -> str:
    return f"{_FOLDER}{object_name(name)}.json"
