"""The report of a run: written where the run was told to, kept in the lake, rebuilt from the card after a crash."""

import errno
from pathlib import Path
from typing import Any, Final

from hemline_api import BadReport
from hemline_api.report import TrainingReport
from hemline_store import Lake
from hemline_trainer._errors import BadState
from hemline_trainer._state import write_atomically

__all__ = ["REPORT_PARAMETER", "deliver", "find_finished"]

REPORT_PARAMETER: Final = "report"
"""Under this name a card's parameters hold the report of its run, all but the version's number."""

_NOT_REPLACEABLE: Final = frozenset(
    {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}
)


def find_finished(lake: Lake, uid: str) -> TrainingReport | None:
    """The report of a run that has ended already, None when it has not.

    A run that was killed between publishing its version and keeping its report left the report in the card.

    Raises:
        StoreError: the lake cannot be read.
        BadState: the version has no usable report in its card.
    """
    kept = lake.reports.get(uid)
    if kept is not None:
        return _parse(kept, f"the lake's report of {uid}")
    version = lake.models.find(uid)
    if version is None:
        return None
    parameters: dict[str, Any] = lake.models.card(version).get("parameters") or {}
    text = parameters.get(REPORT_PARAMETER)
    if not isinstance(text, str):
        raise BadState(
            f"version {version} was published under the uid {uid}, but not by a training run: its card holds no "
            "report; choose another --uid"
        )
    report = _parse(text.encode(), f"the report in the card of version {version}")
    finished = report.model_copy(update={"version": version})
    lake.reports.put(uid, finished.to_json())
    return finished


def deliver(report: TrainingReport, *, full: Path | None, digest: Path | None) -> None:
    """Write the report to where it is expected: whole, and cut to less than 4 KiB.

    A file that cannot be replaced because it is a mount of its own, as a container's termination message is, gets
    the digest, written in place.

    Raises:
        OSError: a place cannot be written.
    """
    if full is not None:
        try:
            write_atomically(full, report.to_json())
        except OSError as error:
            if error.errno not in _NOT_REPLACEABLE or not full.exists():
                raise
            full.write_bytes(report.digest())
    if digest is not None:
        digest.write_bytes(report.digest())


def _parse(data: bytes, what: str) -> TrainingReport:
    try:
        return TrainingReport.from_json(data)
    except BadReport as error:
        raise BadState(f"{what} cannot be read: {error}") from error
