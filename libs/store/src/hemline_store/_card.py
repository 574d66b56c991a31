"""What this library needs to know of a model card: which files there are, and that they are these very files."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hemline_store._errors import BadModel, CorruptModel
from hemline_store._names import is_file_name

__all__ = ["CARD", "CLAIM", "MAX_CARD_BYTES", "FileEntry", "ModelCard", "digest_file", "parse_card"]

CARD: Final = "card.json"
CLAIM: Final = "claim.json"
MAX_CARD_BYTES: Final = 4 << 20
_MAX_FILES: Final = 64
_CHUNK: Final = 1 << 20


class FileEntry(BaseModel):
    """Checksum and size of one file, as a card names them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)


class _Files(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    files: dict[str, FileEntry] = Field(min_length=1, max_length=_MAX_FILES)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A card: its text as it was written, its fields, and the files it vouches for."""

    text: bytes
    fields: dict[str, Any]
    files: dict[str, FileEntry]


def parse_card(text: bytes, where: str) -> ModelCard:
    """Read a card and refuse file names that leave the version's directory.

    Raises:
        CorruptModel: it is no card.
    """
    try:
        fields = json.loads(text)
        files = _Files.model_validate(fields).files
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "document"
        raise CorruptModel(f"{where} is no model card: {field}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise CorruptModel(f"{where} is no model card: it holds no JSON") from error
    for name in files:
        if not is_file_name(name) or name.lower() in (CARD, CLAIM):
            raise CorruptModel(
                f"{where} names the file {name[:140]!r}; expected plain file names beside the card"
            )
    return ModelCard(text, fields, files)


def digest_file(path: Path) -> FileEntry:
    """Checksum and size of a file, read piece by piece.

    Raises:
        BadModel: it cannot be read or is empty.
    """
    digest = hashlib.sha256()
    size = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise BadModel(f"cannot read {path}: {error.strerror}") from error
    if not size:
        raise BadModel(f"{path} is empty")
    return FileEntry(sha256=digest.hexdigest(), bytes=size)
