import hashlib
import json
import os
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hemline_store import Lake
from hemline_store.tables import ImageRow, LabelRow, PredictionRow, Samples

START = datetime(2026, 1, 1, tzinfo=UTC)


class Rows:
    """Makes rows whose times are seconds after a fixed start."""

    classes = ("zero", "one", "two")

    @staticmethod
    def at(seconds: float) -> datetime:
        return START + timedelta(seconds=seconds)

    def image(self, id_: str, t: float = 0, **more) -> ImageRow:
        data = more.pop("data", None) or f"data of {id_}".encode()
        return ImageRow(id_, data, "image/png", self.at(t), **more)

    def label(self, id_: str, label: int | str | None, t: float = 0, event: str = "e") -> LabelRow:
        return LabelRow(
            id=id_,
            label=label if isinstance(label, int) else None,
            label_name=label if isinstance(label, str) else None,
            retracted=label is None,
            time=self.at(t),
            event_id=event,
            received_at=self.at(t),
        )

    def prediction(self, id_: str, label: int, version: int = 1, t: float = 0) -> PredictionRow:
        return PredictionRow(
            id=id_,
            label=label,
            label_name=self.classes[label],
            confidence=0.75,
            model_version=version,
            received_at=self.at(t),
            predicted_at=self.at(t),
            event_id=id_,
        )


@pytest.fixture(scope="session")
def rows() -> Rows:
    return Rows()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), "mnist")


@pytest.fixture
def samples(lake: Lake) -> Iterator[Samples]:
    opened = Samples.open(lake)
    yield opened
    opened.close()


@pytest.fixture
def model_dir(tmp_path: Path) -> Callable[..., Path]:
    """Makes model directories: real files, and a card with their real checksums."""

    def make(name: str = "model", *, size: int = 5000, **fields) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        files = {}
        for file in ("model.keras", "model.onnx"):
            data = os.urandom(size)
            (directory / file).write_bytes(data)
            files[file] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": size}
        card = {"classes": ["zero", "one", "two"], "files": files, **fields}
        (directory / "card.json").write_text(json.dumps(card))
        return directory

    return make


@pytest.fixture
def s3_lake(s3_server: str) -> Lake:
    bucket = f"lake-{uuid.uuid4().hex[:12]}"
    urllib.request.urlopen(
        urllib.request.Request(f"{s3_server}/{bucket}", method="PUT"), timeout=30
    ).close()
    options = {
        "aws_endpoint": s3_server,
        "aws_region": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    return Lake(f"s3://{bucket}/data", "mnist", options=options)
