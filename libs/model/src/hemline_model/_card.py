"""The model card: what a model directory holds, where it came from and how good it is."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hemline_model._contract import MAX_CLASSES, InputContract
from hemline_model._errors import BadModel

__all__ = ["Card", "FileEntry", "describe_file", "read_card", "read_verified", "write_card"]

CARD_NAME = "card.json"
_MAX_CARD_BYTES = 4 << 20


class FileEntry(BaseModel):
    """Checksum and size of one file of a model directory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)


class Card(BaseModel):
    """What is known of one immutable model version; `card.json` in its directory.

    `metrics` are fractions (0 to 1) by name, `test_accuracy` for example. `temperature` divides the
    logits before the softmax. `parent`, `snapshot` and `run_uid` say which version this one was
    fine-tuned from, on which data, and by which run; they are None for a model trained from nothing.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: int = 1
    name: str = ""
    classes: list[str] = Field(min_length=2, max_length=MAX_CLASSES)
    input: InputContract
    temperature: float = Field(default=1.0, gt=0, le=100)
    metrics: dict[str, float | None] = Field(default_factory=dict)
    parent: int | None = None
    snapshot: dict[str, Any] | None = None
    run_uid: str | None = None
    created: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    parameters: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(default_factory=dict)

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: int) -> int:
        if value != 1:
            raise ValueError(f"card format {value} is not known here; expected 1: update hemline")
        return value

    @field_validator("classes")
    @classmethod
    def _distinct_classes(cls, value: list[str]) -> list[str]:
        if len(set(value)) != len(value):
            raise ValueError("class names repeat; expected each once")
        return value

    @field_validator("files")
    @classmethod
    def _plain_file_names(cls, value: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in value:
            if not name or name in {".", ".."} or "/" in name or "\\" in name or "\0" in name:
                raise ValueError(f"file name {name!r} leaves the model directory")
        return value


def read_card(directory: Path) -> Card:
    """Read `card.json` of a model directory.

    Raises:
        BadModel: there is none, or it is not a card.
    """
    path = directory / CARD_NAME
    try:
        if path.stat().st_size > _MAX_CARD_BYTES:
            raise BadModel(
                f"{path} is larger than {_MAX_CARD_BYTES:,} bytes; that is no model card"
            )
        return Card.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise BadModel(
            f"{directory} holds no {CARD_NAME}; expected a model directory as written by "
            "`hemline train` or `hemline ensemble`"
        ) from error
    except OSError as error:
        raise BadModel(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadModel(f"{path} is not a valid model card: {where}: {first['msg']}") from error


def write_card(card: Card, directory: Path) -> None:
    """Write `card.json` into a model directory."""
    text = json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (directory / CARD_NAME).write_text(text + "\n", encoding="utf-8")


def describe_file(path: Path) -> FileEntry:
    """Checksum and size of the file at `path`."""
    data = path.read_bytes()
    return FileEntry(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def read_verified(directory: Path, card: Card, name: str) -> bytes:
    """Read a file that the card lists; what is returned are the very bytes that were checked.

    Raises:
        BadModel: the card does not list it, it is missing, or it is not what the card says.
    """
    entry = card.files.get(name)
    if entry is None:
        listed = ", ".join(sorted(card.files)) or "no files"
        raise BadModel(f"{directory / CARD_NAME} lists {listed}; expected {name} among them")
    path = directory / name
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size == entry.bytes else b""
    except OSError as error:
        raise BadModel(f"cannot read {path}: {error.strerror}") from error
    if size != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise BadModel(
            f"{path} is not the file its card describes (SHA-256 or size differ): it was altered "
            "or not copied completely; fetch the model again"
        )
    return data
