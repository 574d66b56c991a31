"""The options of the SQLite driver."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from hemline_broker._errors import InvalidOption
from hemline_broker._url import BrokerURL, Options, positive


@dataclass(frozen=True, slots=True)
class Settings:
    """What a URL says; see the package's docstring.

    Attributes:
        uri: SQLite URI of the database.
        beside: folder for the locks of live consumers; None in memory, where a dead consumer's thread cannot hold one.
        poll_s: seconds.
        lease_s: seconds.
        retention_s: seconds.
        keep_s: seconds.
        keep_bytes: bytes.
        sync: value of PRAGMA synchronous.
    """

    uri: str
    beside: Path | None
    poll_s: float
    lease_s: float
    retention_s: float
    keep_s: float
    keep_bytes: float
    sync: str

    @classmethod
    def parse(cls, url: BrokerURL) -> Settings:
        """Check a URL.

        Raises:
            InvalidOption: it names no file, a file in a folder that does not exist, one that does not exist though it
                must, or an unknown option.
        """
        path = None
        if url.scheme == "memory":
            uri, beside = f"file:/hemline-{url.rest or uuid.uuid4().hex}?vfs=memdb", None
        else:
            path = _path(url.rest)
            uri, beside = path.as_uri(), path.with_name(path.name + ".live")
        options = Options(url.options, url.scheme)
        if path is not None:
            create = options.choice("create", {"yes": True, "no": False}, "yes")
            if not (create or _holds_something(path)):
                raise InvalidOption(
                    f"the broker file {path} does not exist or is empty; is its name right?"
                )
            uri += "?mode=rwc" if create else "?mode=rw"
        settings = cls(
            uri=uri,
            beside=beside,
            poll_s=options.take("poll_ms", positive, 2.0) / 1000,
            lease_s=options.take("lease", positive, 30.0),
            retention_s=options.take("retention", positive, 7 * 86400.0),
            keep_s=options.take("keep", float, 600.0),
            keep_bytes=options.take("keep_bytes", float, float(256 << 20)),
            sync=options.choice("sync", {"normal": "NORMAL", "full": "FULL"}, "normal"),
        )
        options.finish()
        return settings


def _holds_something(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _path(rest: str) -> Path:
    if len(rest) < 2 or not rest.startswith("/"):
        raise InvalidOption(
            f"sqlite URL names no file: got sqlite://{rest}; expected sqlite:///relative.db or sqlite:////absolute.db"
        )
    path = Path(rest[1:])
    if not path.parent.is_dir():
        hint = "" if path.is_absolute() else f"; for the absolute path write sqlite:////{path}"
        raise InvalidOption(f"folder {path.parent} of the broker file {path} does not exist{hint}")
    if path.is_dir():
        raise InvalidOption(f"the broker file {path} is a folder")
    return path.absolute()
