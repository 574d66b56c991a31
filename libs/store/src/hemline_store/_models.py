"""Model versions: numbered, immutable, published by one atomic, conditional step.

A publisher writes the files below ``models/.staging/<random>/``, then creates ``models/<n>/claim.json`` if there is
none. That conditional create is the step that decides: it gives the number n to a uid and carries the whole card and
the staging place, so that whoever comes next can finish what a killed publisher began: copy the files to
``models/<n>/`` and write ``card.json``. A version is listed only once its ``card.json`` is there.

One uid gets one number: numbers are given without gaps and claims are never removed, so a publisher reads every claim
below n before it tries n, and stops at its own uid.
"""

import logging
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hemline_store._card import (
    CARD,
    CLAIM,
    MAX_CARD_BYTES,
    FileEntry,
    ModelCard,
    digest_file,
    parse_card,
)
from hemline_store._errors import BadModel, CorruptModel, StoreError, UnknownVersion
from hemline_store._fetch import fetch
from hemline_store._names import checked_uid
from hemline_store._objects import Objects

__all__ = ["ModelStore"]

_log = logging.getLogger(__name__)

_STAGING: Final = "models/.staging"
_VERSION_FILE: Final = re.compile(r"models/([1-9][0-9]{0,8})/(card|claim)\.json")
_MAX_CLAIM_BYTES: Final = 3 * MAX_CARD_BYTES
_READERS: Final = 16


class _Claim(BaseModel):
    """What ``claim.json`` says: whose number this is, and all that is needed to finish publishing it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = Field(default=1, ge=1, le=1)
    uid: str = Field(min_length=1, max_length=256)
    staging: str = Field(pattern=r"^[0-9a-f]{32}$")
    card: str


class ModelStore:
    """The model versions of one classifier, ``models/<n>/{model.keras,model.onnx,card.json}``."""

    def __init__(self, objects: Objects) -> None:
        """Keep the place."""
        self._objects = objects
        self._claims: dict[int, _Claim] = {}  # immutable once written, so never read twice

    def versions(self) -> list[int]:
        """The published versions, oldest first."""
        return sorted(self._listed("card"))

    def card(self, version: int) -> dict[str, Any]:
        """The card of a version.

        Raises:
            UnknownVersion: it is not published.
            CorruptModel: its card is none.
        """
        return self._card(version).fields

    def fetch(self, version: int, cache_dir: Path | str) -> Path:
        """A local directory with the version's files and card, every checksum verified.

        The directory appears in one step and is reused while its content is right.

        Raises:
            UnknownVersion: it is not published.
            CorruptModel: a file is missing or is not what the card says.
        """
        card = self._card(version)
        return fetch(
            self._objects, f"models/{version}", card, Path(cache_dir).absolute() / str(version)
        )

    def publish(self, directory: Path | str, *, uid: str) -> int:
        """Publish a model directory and return its version; the same uid always gets the same version.

        Args:
            directory: holds ``card.json`` and the files that it lists (``files``: name to ``sha256``, ``bytes``).
            uid: names the run that made the model, 1 to 256 characters.

        Raises:
            BadModel: the directory is not what its card says.
        """
        checked_uid(uid)
        seen = self._finished_claims(uid)
        if (known := _version_of(uid, seen)) is not None:
            return known
        card = _local_card(Path(directory))
        staging = secrets.token_hex(16)
        for name in card.files:
            self._objects.put(f"{_STAGING}/{staging}/{name}", Path(directory) / name)
        claim = _Claim(uid=uid, staging=staging, card=card.text.decode())
        version, holder = self._claim(claim, after=_without_gap(seen))
        if holder.staging != staging:
            self._discard(claim)
        self._finish(version, holder)
        return version

    def find(self, uid: str) -> int | None:
        """The version that a run published, or None; one that was left half-published is finished first."""
        return _version_of(uid, self._finished_claims(uid))

    def discard_leftovers(self, *, older_than: timedelta = timedelta(days=1)) -> int:
        """Remove files that publishers uploaded and never published; returns how many.

        Args:
            older_than: younger ones may belong to a publisher that is still at work.
        """
        claims = self._all_claims()
        needed = {claims[version].staging for version in claims.keys() - self._listed("card")}
        before = datetime.now(UTC) - older_than
        left = [
            stored.path
            for stored in self._objects.listing(f"{_STAGING}/")
            if stored.modified < before and stored.path.split("/")[2] not in needed
        ]
        self._objects.delete(left)
        return len(left)

    def _listed(self, kind: str) -> set[int]:
        found = (
            _VERSION_FILE.fullmatch(stored.path) for stored in self._objects.listing("models/")
        )
        return {int(match[1]) for match in found if match and match[2] == kind}

    def _card(self, version: int) -> ModelCard:
        path = f"models/{version}/{CARD}"
        if version < 1 or (text := self._objects.get(path, limit=MAX_CARD_BYTES)) is None:
            known = ", ".join(str(number) for number in self.versions()[-10:]) or "none"
            raise UnknownVersion(
                f"there is no model version {version} in {self._objects.uri}; published (newest 10): {known}"
            )
        return parse_card(text, f"{self._objects.uri}/{path}")

    def _finished_claims(self, uid: str) -> dict[int, _Claim]:
        """Every claim, after finishing those that were left half-published."""
        claims = self._all_claims()
        for version in sorted(claims.keys() - self._listed("card")):
            self._try_to_finish(version, claims[version], mine=claims[version].uid == uid)
        return claims

    def _claim(self, claim: _Claim, *, after: int) -> tuple[int, _Claim]:
        """The number that ``claim.uid`` has, now or since earlier, and the claim that got it.

        ``after``: this caller has looked at the claims 1 to ``after``, every one of them.
        """
        data = claim.model_dump_json().encode()
        version = after + 1
        while True:
            if self._objects.put_new(f"models/{version}/{CLAIM}", data):
                self._claims[version] = claim
                return version, claim
            if (holder := self._read_claim(version)).uid == claim.uid:
                return version, holder
            version += 1

    def _all_claims(self) -> dict[int, _Claim]:
        unread = sorted(self._listed("claim") - self._claims.keys())
        with ThreadPoolExecutor(min(_READERS, max(1, len(unread)))) as readers:
            list(readers.map(self._read_claim, unread))
        return dict(sorted(self._claims.items()))

    def _read_claim(self, version: int) -> _Claim:
        path = f"models/{version}/{CLAIM}"
        text = self._objects.get(path, limit=_MAX_CLAIM_BYTES)
        try:
            claim = _Claim.model_validate_json(text or b"")
        except ValidationError as error:
            raise CorruptModel(f"{self._objects.uri}/{path} is no claim of a version") from error
        self._claims[version] = claim
        return claim

    def _try_to_finish(self, version: int, claim: _Claim, *, mine: bool) -> None:
        try:
            self._finish(version, claim)
        except StoreError as error:
            if mine:
                raise
            # Another's unfinished version must not keep this one from being published.
            _log.warning("cannot finish publishing version %d: %s", version, error)

    def _finish(self, version: int, claim: _Claim) -> None:
        """Copy the files and write the card; several may do so at once, the result is the same."""
        prefix = f"models/{version}"
        text = claim.card.encode()
        card = parse_card(text, f"{self._objects.uri}/{prefix}/{CLAIM}")
        if self._objects.size(f"{prefix}/{CARD}") is None:
            for name, entry in card.files.items():
                self._place(f"{_STAGING}/{claim.staging}/{name}", f"{prefix}/{name}", entry)
            self._objects.put(f"{prefix}/{CARD}", text)
        self._discard(claim)

    def _place(self, source: str, target: str, entry: FileEntry) -> None:
        # Copies are atomic, so a file of the right size is a whole one; its bytes are verified when it is fetched.
        # It is asked for after the copy failed too: another may have finished and removed the source meanwhile.
        if self._objects.size(target) == entry.bytes or self._objects.copy(source, target):
            return
        if self._objects.size(target) != entry.bytes:
            raise CorruptModel(
                f"{self._objects.uri}/{source} is gone, so {target} cannot be published; publish the model again "
                "with another uid"
            )

    def _discard(self, claim: _Claim) -> None:
        self._objects.delete(
            [stored.path for stored in self._objects.listing(f"{_STAGING}/{claim.staging}/")]
        )


def _version_of(uid: str, claims: dict[int, _Claim]) -> int | None:
    return next((version for version, claim in claims.items() if claim.uid == uid), None)


def _without_gap(claims: dict[int, _Claim]) -> int:
    # A listing is no snapshot: while it runs, it can miss a new claim and show a newer one.
    last = 0
    while last + 1 in claims:
        last += 1
    return last


def _local_card(directory: Path) -> ModelCard:
    path = directory / CARD
    try:
        if (size := path.stat().st_size) > MAX_CARD_BYTES:
            raise BadModel(
                f"{path} has {size:,} bytes; a model card has at most {MAX_CARD_BYTES:,}"
            )
        text = path.read_bytes()
        text.decode()
    except FileNotFoundError as error:
        raise BadModel(
            f"{directory} holds no {CARD}; expected a model directory as `hemline export` writes it"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadModel(f"cannot read {path}: {error}") from error
    try:
        card = parse_card(text, str(path))
    except CorruptModel as error:
        raise BadModel(str(error)) from error
    for name, entry in card.files.items():
        if (found := digest_file(directory / name)) != entry:
            raise BadModel(
                f"{directory / name} has {found.bytes:,} bytes and SHA-256 {found.sha256}, its card says "
                f"{entry.bytes:,} and {entry.sha256}; write the card again"
            )
    return card
