"""Reports of training runs, one object for each run."""

from typing import Final

from hemline_store._errors import InvalidOption
from hemline_store._names import object_name
from hemline_store._objects import Objects

__all__ = ["Reports"]

_MAX_REPORT: Final = 1 << 20


class Reports:
    """``reports/<uid>.json``: what a run found, for whoever asks after the run has gone."""

    def __init__(self, objects: Objects) -> None:
        """Keep the place."""
        self._objects = objects

    def put(self, uid: str, report: bytes) -> None:
        """Keep the report of a run; a run that is repeated overwrites its own.

        Raises:
            InvalidOption: the report has more than 1 MiB, or the uid is none.
        """
        if len(report) > _MAX_REPORT:
            raise InvalidOption(
                f"the report of {uid} has {len(report):,} bytes; at most {_MAX_REPORT:,} are kept"
            )
        self._objects.put(_path(uid), report)

    def get(self, uid: str) -> bytes | None:
        """The report of a run, or None while there is none."""
        return self._objects.get(_path(uid), limit=_MAX_REPORT)


def _path(uid: str) -> str:
    return f"reports/{object_name(uid)}.json"
