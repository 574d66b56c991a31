"""Watching the rollout document, a small file that one writer replaces."""

import logging
from pathlib import Path

from hemline_api.rollout import Rollout

__all__ = ["RolloutFile"]

_log = logging.getLogger(__name__)

_MAX_BYTES = 65_536


class RolloutFile:
    """The document at a path, read again only when the file has changed.

    The path is looked up by name each time, because its writers replace the file: `hemline up` renames a new one
    over it, and the kubelet swaps the link of a mounted ConfigMap.

    Args:
        path: need not exist yet.

    Attributes:
        problem: why the file cannot be used now, for /status; None when it can.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is read before the first ``poll``."""
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._document: Rollout | None = None
        self.problem: str | None = None

    def poll(self) -> Rollout | None:
        """The document as it is now, or the last good one when the file is away or damaged; None before any."""
        try:
            stat = self._path.stat()
            fingerprint = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if fingerprint == self._seen:
                return self._document
            if stat.st_size > _MAX_BYTES:
                raise ValueError(f"{stat.st_size:,} bytes, expected at most {_MAX_BYTES:,}")
            document = Rollout.from_json(self._path.read_bytes())
        except FileNotFoundError:
            self._complain(f"{self._path} does not exist yet")
        except (OSError, ValueError) as error:
            # Not remembered as seen: a document read while it was being written is complete at the next look.
            self._complain(f"{self._path}: {error}")
        else:
            self._seen, self.problem = fingerprint, None
            self._document = document
        return self._document

    def _complain(self, problem: str) -> None:
        if problem != self.problem:
            _log.warning("waiting for a usable rollout document: %s", problem)
        self.problem = problem
