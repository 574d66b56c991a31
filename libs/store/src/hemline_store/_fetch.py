"""Bringing a model version into a local directory, whole and verified or not at all."""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from hemline_store._card import CARD, FileEntry, ModelCard, digest_file
from hemline_store._errors import BadModel, CorruptModel, Unavailable
from hemline_store._objects import Objects

__all__ = ["fetch"]

_WORK: Final = ".hemline-fetch-"
_STALE_SECONDS: Final = 24 * 3600.0


def fetch(objects: Objects, prefix: str, card: ModelCard, target: Path) -> Path:
    """Make ``target`` the verified copy of the version below ``prefix`` and return it.

    What is already there is used if every byte is right and replaced if not. Processes that fetch the same version
    into the same place at once do not disturb each other.
    """
    if _intact(target, card):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=target.parent))
    except OSError as error:
        raise Unavailable(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        for name, entry in card.files.items():
            _download(objects, f"{prefix}/{name}", entry, work / name)
        (work / CARD).write_bytes(card.text)
        work.chmod(0o755)
        return _install(work, target, card)
    except OSError as error:
        raise Unavailable(f"cannot write to {target.parent}: {error.strerror}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _sweep(cache: Path) -> None:
    """Remove what fetches that were killed left behind, once none of them can still be at work."""
    before = time.time() - _STALE_SECONDS
    for left in cache.glob(f"{_WORK}*"):
        with suppress(OSError):
            if left.stat().st_mtime < before:
                shutil.rmtree(left)


def _download(objects: Objects, path: str, entry: FileEntry, target: Path) -> None:
    where = f"{objects.uri}/{path}"
    chunks = objects.chunks(path)
    if chunks is None:
        raise CorruptModel(f"{where} is missing, but its card lists it; publish the model again")
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for chunk in _at_most(chunks, entry.bytes, where):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != entry.sha256:
        raise CorruptModel(
            f"{where} has SHA-256 {digest.hexdigest()}, its card says {entry.sha256}; it was altered after it was "
            "published: serve another version and publish the model again"
        )


def _at_most(chunks: Iterator[bytes], size: int, where: str) -> Iterator[bytes]:
    received = 0
    for chunk in chunks:
        received += len(chunk)
        if received > size:
            break
        yield chunk
    if received != size:
        more = "more than " if received > size else ""
        raise CorruptModel(
            f"{where} has {more}{min(received, size):,} bytes, its card says {size:,}; it was altered after it was "
            "published: serve another version and publish the model again"
        )


def _install(work: Path, target: Path, card: ModelCard) -> Path:
    for _ in range(2):
        try:
            work.rename(target)
        except OSError:
            # Somebody was faster, or a damaged copy is in the way.
            if _intact(target, card):
                return target
            aside = Path(tempfile.mkdtemp(prefix=_WORK, dir=target.parent))
            target.replace(aside / target.name)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            return target
    raise Unavailable(f"{target} is being replaced by others; try again")


def _intact(directory: Path, card: ModelCard) -> bool:
    try:
        if (directory / CARD).read_bytes() != card.text:
            return False
        return all(digest_file(directory / name) == entry for name, entry in card.files.items())
    except (OSError, BadModel):
        return False
