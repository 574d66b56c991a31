"""Bodies that are too large for a broker, as objects in a store of their own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import uuid
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

try:
    import obstore
    from obstore.exceptions import (
        BaseError,
        NotFoundError,
        PermissionDeniedError,
        UnauthenticatedError,
    )
    from obstore.store import LocalStore, from_url
except ModuleNotFoundError as missing:
    raise ImportError(
        "a claim check needs obstore: pip install 'hemline-broker[claim-check]'"
    ) from missing

from hemline_broker._errors import BodyGone, BrokerError, Denied, InvalidOption, Unavailable

_SCHEMES = ("file", "s3", "gs")
# Topic, day, a name of our own making: nothing else below the prefix is ever read or deleted.
_PATH = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,119}/\d{4}-\d{2}-\d{2}/[0-9a-f]{32}\Z")
_DELETED_AT_ONCE = 500
# S3 and Google Cloud Storage say it with the same words.
_NO_BUCKET = "bucket does not exist"


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a body lies, and what it must be.

    Attributes:
        uri: the object's address.
        sha256: hexadecimal digest of the body.
        size: bytes.
    """

    uri: str
    sha256: str
    size: int


class Swept(NamedTuple):
    """Bodies that were deleted, or would be.

    Attributes:
        bodies: how many.
        size: their bytes.
    """

    bodies: int
    size: int


class ClaimStore:
    """Bodies below one `file://`, `s3://` or `gs://` prefix."""

    def __init__(self, uri: str) -> None:
        """Open the place; nothing is read yet. Credentials and endpoints come from the environment (AWS_…, GOOGLE_…).

        Raises:
            InvalidOption: it is no such address, or holds more than a place.
        """
        parts = urlsplit(uri)
        if parts.scheme not in _SCHEMES or parts.query or parts.fragment or "@" in parts.netloc:
            raise InvalidOption(
                "a claim check is a place alone, file:///folder, s3://bucket/prefix or gs://bucket/prefix; "
                f"credentials come from the environment; got one that begins with {parts.scheme or 'nothing'}:"
            )
        if parts.scheme == "file" and (parts.netloc or not parts.path.startswith("/")):
            raise InvalidOption(f"{uri} names no absolute folder; expected file:///folder")
        if parts.scheme != "file" and not parts.netloc:
            raise InvalidOption(f"{uri} names no bucket; expected {parts.scheme}://bucket/prefix")
        self.uri = uri.rstrip("/")
        with _errors(f"open {self.uri}"):
            if parts.scheme == "file":
                folder = unquote(parts.path)
                self._store: Any = LocalStore(folder, mkdir=True, automatic_cleanup=True)
            else:
                plain = any(
                    (os.environ.get(name) or "").startswith("http://")
                    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT")
                )
                options: dict[str, Any] = {"client_options": {"allow_http": True}} if plain else {}
                self._store = from_url(self.uri, **options)

    async def put(self, topic: str, data: bytes) -> Reference:
        """Store a body under a new name.

        Raises:
            Unavailable, Denied: it is not stored.
        """
        # Hashing lets other threads run, and 15 MB of it would stop the loop for a while.
        digest = await asyncio.to_thread(_sha256, data)
        path = f"{topic}/{datetime.now(UTC):%Y-%m-%d}/{uuid.uuid4().hex}"
        try:
            with _errors(f"store a body in {self.uri}"):
                await obstore.put_async(self._store, path, data)
        except (NotFoundError, FileNotFoundError) as error:
            raise Unavailable(f"cannot store a body in {self.uri}: {_short(error)}") from error
        return Reference(f"{self.uri}/{path}", digest, len(data))

    async def get(self, reference: Reference) -> bytes:
        """Read a body and check that it is what was stored.

        Raises:
            BodyGone: it was deleted, is not the one that was stored, or lies outside this place.
            Unavailable, Denied: it cannot be read now.
        """
        path = self._path(reference)
        try:
            with _errors(f"read {reference.uri}"):
                found = await obstore.get_async(self._store, path)
                size = found.meta["size"]
                if size != reference.size:
                    raise BodyGone(
                        f"{reference.uri} has {size:,} bytes, {reference.size:,} were sent"
                    )
                data = bytes(await found.bytes_async())
        except (NotFoundError, FileNotFoundError) as error:
            if _NO_BUCKET in str(error):
                # Nothing is known of the body: a mistake in the reader's settings must not make dead letters.
                raise Unavailable(f"cannot read {reference.uri}: {_short(error)}") from error
            raise BodyGone(f"{reference.uri} was deleted before the message was read") from error
        if await asyncio.to_thread(_sha256, data) != reference.sha256:
            raise BodyGone(f"{reference.uri} is not what was sent: its SHA-256 differs")
        return data

    async def delete(self, references: Sequence[Reference]) -> None:
        """Remove bodies that no message will name; best effort, the sweep finds what is left."""
        with _errors(f"delete from {self.uri}"):
            await obstore.delete_async(self._store, [self._path(each) for each in references])

    async def older(self, than: timedelta) -> AsyncIterator[Mapping[str, int]]:
        """Path → bytes of the bodies stored longer ago than that, some hundred at a time."""
        try:
            before = datetime.now(UTC) - than
        except OverflowError:
            return
        with _errors(f"list {self.uri}"):
            async for page in obstore.list(self._store, chunk_size=_DELETED_AT_ONCE):
                old = {
                    each["path"]: each["size"]
                    for each in page
                    if _PATH.match(each["path"]) and each["last_modified"] < before
                }
                if old:
                    yield old

    async def remove(self, paths: Collection[str]) -> None:
        """Delete these; what is gone already is no error."""
        with _errors(f"delete from {self.uri}"), suppress(NotFoundError, FileNotFoundError):
            await obstore.delete_async(self._store, list(paths))

    def _path(self, reference: Reference) -> str:
        # A message may come from anybody: what it names is only read from our own place.
        path = reference.uri.removeprefix(self.uri + "/")
        if path == reference.uri or not _PATH.match(path) or ".." in PurePosixPath(path).parts:
            raise BodyGone(
                f"the message names {reference.uri[:200]!r}, which is not below {self.uri}: nothing else is read"
            )
        return path


async def sweep(uri: str, older_than: timedelta) -> Swept:
    """Delete the bodies of a claim check that were stored longer ago than `older_than`.

    Bodies are shared by all groups of a topic, so none is deleted when a message is acknowledged. Keep them at least
    as long as the broker keeps messages (Pub/Sub: 7 days at most by default), and run this daily.

    Raises:
        InvalidOption, Denied, Unavailable: the place is illegal, refuses, or does not answer.
    """
    store = _existing(uri)
    count = size = 0
    async for old in store.older(older_than):
        await store.remove(old)
        count += len(old)
        size += sum(old.values())
    return Swept(count, size)


async def expired(uri: str, older_than: timedelta) -> Swept:
    """What `sweep` would delete now; deletes nothing.

    Raises:
        InvalidOption, Denied, Unavailable: as `sweep`.
    """
    count = size = 0
    async for old in _existing(uri).older(older_than):
        count += len(old)
        size += sum(old.values())
    return Swept(count, size)


def _existing(uri: str) -> ClaimStore:
    """The store, if it is one already: nobody wants a mistyped folder to be made, and found to be clean."""
    parts = urlsplit(uri)
    if parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():
        raise InvalidOption(f"{uri}: there is no such folder")
    return ClaimStore(uri)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    try:
        yield
    except (BrokerError, NotFoundError, FileNotFoundError):
        raise
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise Denied(f"cannot {doing}: {_short(error)}") from error
    except (BaseError, OSError) as error:
        raise Unavailable(f"cannot {doing}: {_short(error)}") from error


def _short(error: Exception) -> str:
    """What the store said, without the library's own structures below it."""
    return str(error).partition("\n\nDebug source")[0].strip()
