"""Objects under one prefix of a disk or an object store, with this library's errors."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import LocalStore, from_url

from hemline_store._errors import Denied, InvalidOption, StoreError, Unavailable

__all__ = ["Objects", "Stored", "absolute_uri", "allows_http"]

_SCHEMES: Final = ("file", "s3", "gs")
_CHUNK: Final = 4 << 20
# obstore raises the built-in errors where Python has one, its own elsewhere.
_ABSENT: Final = (NotFoundError, FileNotFoundError)
_PRESENT: Final = (AlreadyExistsError, FileExistsError)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a listing tells of an object: its path below the prefix, its size in bytes, its age."""

    path: str
    size: int
    modified: datetime


def absolute_uri(uri: str) -> str:
    """The address of a lake in full: ``file:///...``, ``s3://bucket/...`` or ``gs://bucket/...``.

    Raises:
        InvalidOption: another scheme, credentials or a query in it, or no bucket.
    """
    if not uri:
        raise InvalidOption(
            "the lake's address is empty; expected a folder, file://, s3:// or gs://"
        )
    parts = urlsplit(uri)
    if "://" not in uri:
        return Path(uri).absolute().as_uri()
    if parts.scheme not in _SCHEMES:
        raise InvalidOption(
            f"the lake's address begins with {parts.scheme}://; expected a folder, file://, s3:// or gs://"
        )
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidOption(
            "the lake's address holds more than a place; credentials and options come from the environment "
            "(AWS_..., GOOGLE_...)"
        )
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
            raise InvalidOption(f"{uri} names no absolute folder; expected file:///folder")
        return Path(unquote(parts.path)).as_uri()
    if not parts.netloc:
        raise InvalidOption(f"{uri} names no bucket; expected {parts.scheme}://bucket/folder")
    return uri.rstrip("/")


def allows_http(options: Mapping[str, str]) -> bool:
    """Whether the endpoint that was asked for by name is a plain HTTP one (a local S3 server)."""
    named = [options.get("aws_endpoint"), options.get("aws_endpoint_url")]
    named += [os.environ.get("AWS_ENDPOINT_URL"), os.environ.get("AWS_ENDPOINT")]
    return next((name for name in named if name), "").startswith("http://")


class Objects:
    """Objects below ``uri``.

    Args:
        uri: an address as :func:`absolute_uri` returns it.
        options: storage options by their object-store names (``aws_endpoint``, ``aws_region``, ...), before
            those of the environment.

    Every method raises ``Denied`` when the storage refuses the credentials and ``Unavailable`` when it does not
    answer.
    """

    def __init__(self, uri: str, *, options: Mapping[str, str] | None = None) -> None:
        """Open the place; nothing is read yet."""
        self.uri = uri
        options = options or {}
        with _errors(uri):
            parts = urlsplit(uri)
            if parts.scheme == "file":
                self._store: Any = LocalStore(
                    unquote(parts.path), mkdir=True, automatic_cleanup=True
                )
            else:
                client: dict[str, Any] = {"allow_http": True} if allows_http(options) else {}
                self._store = _open(uri, options, client)

    def get(self, path: str, *, limit: int) -> bytes | None:
        """The object, or None.

        Raises:
            StoreError: it is larger than ``limit`` bytes.
        """
        with _errors(f"{self.uri}/{path}"):
            try:
                result = obstore.get(self._store, path)
                if (size := result.meta["size"]) > limit:
                    raise StoreError(
                        f"{self.uri}/{path} has {size:,} bytes; at most {limit:,} were expected there"
                    )
                return bytes(result.bytes())
            except _ABSENT:
                return None

    def chunks(self, path: str) -> Iterator[bytes] | None:
        """The object in pieces of some MiB, or None."""
        with _errors(f"{self.uri}/{path}"):
            try:
                result = obstore.get(self._store, path)
            except _ABSENT:
                return None
        return self._stream(result, path)

    def _stream(self, result: Any, path: str) -> Iterator[bytes]:
        with _errors(f"{self.uri}/{path}"):
            for chunk in result.stream(min_chunk_size=_CHUNK):
                yield bytes(chunk)

    def put(self, path: str, data: bytes | Path) -> None:
        """Write (or overwrite) the object in one atomic step."""
        with _errors(f"{self.uri}/{path}"):
            obstore.put(self._store, path, data)

    def put_new(self, path: str, data: bytes) -> bool:
        """Write the object if there is none; of several who try at once, one is told True."""
        with _errors(f"{self.uri}/{path}"):
            try:
                obstore.put(self._store, path, data, mode="create")
            except _PRESENT:
                return False
            return True

    def copy(self, source: str, target: str) -> bool:
        """Copy within the storage in one atomic step; False when there is no source."""
        with _errors(f"{self.uri}/{source}"):
            try:
                obstore.copy(self._store, source, target)
            except _ABSENT:
                return False
            return True

    def size(self, path: str) -> int | None:
        """Size in bytes, or None when there is no such object."""
        with _errors(f"{self.uri}/{path}"):
            try:
                return int(obstore.head(self._store, path)["size"])
            except _ABSENT:
                return None

    def listing(self, prefix: str) -> Iterator[Stored]:
        """All objects below ``prefix``, in no particular order."""
        with _errors(f"{self.uri}/{prefix}"):
            for batch in obstore.list(self._store, prefix, chunk_size=1000):
                for meta in batch:
                    yield Stored(str(meta["path"]), int(meta["size"]), meta["last_modified"])

    def delete(self, paths: list[str]) -> None:
        """Remove objects; those that are already gone are no error."""
        with _errors(self.uri):
            for path in paths:
                try:
                    obstore.delete(self._store, path)
                except _ABSENT:
                    continue


def _open(uri: str, options: Mapping[str, str], client: dict[str, Any]) -> Any:
    config: Any = dict(options)
    client_options: Any = client
    return from_url(uri, config=config, client_options=client_options)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise Denied(f"{what}: the storage refuses access: {_first_line(error)}") from error
    except (BaseError, OSError) as error:
        if "NoSuchBucket" in str(error):
            raise InvalidOption(f"{what}: there is no such bucket; create it first") from error
        raise Unavailable(f"{what}: the storage failed: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
