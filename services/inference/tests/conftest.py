"""A lake with real model versions, and real images."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import hemline_model
from hemline_api.rollout import Canary, Rollout
from hemline_store import Lake

CLASSIFIER = "mnist"


class Bench:
    """A folder with a lake and a rollout document, as a service finds them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = str(folder / "lake")
        self.rollout = folder / "rollout.json"
        self.cache = folder / "cache"
        self.lake = Lake(self.uri, CLASSIFIER)
        self.names = hemline_model.read_card(hemline_model.pretrained()).classes

    def publish(self, uid: str, change: Callable[[Path], None] | None = None) -> int:
        """Publish the shipped model, changed as told, and return its version."""
        directory = self.folder / f"model-{uid}"
        shutil.copytree(hemline_model.pretrained(), directory)
        # One graph alone, whatever else the shipped model has, so that changing it changes what serves.
        card = json.loads((directory / "card.json").read_text())
        for name in set(card["files"]) - {"model.onnx"}:
            (directory / name).unlink()
            del card["files"][name]
        (directory / "card.json").write_text(json.dumps(card))
        if change is not None:
            change(directory)
        return self.lake.models.publish(directory, uid=uid)

    def publish_renamed(self, uid: str) -> int:
        """A version that answers alike but calls every class by another name, so that answers tell versions apart."""

        def rename(directory: Path) -> None:
            card = json.loads((directory / "card.json").read_text())
            card["classes"] = [f"{name} of {uid}" for name in card["classes"]]
            (directory / "card.json").write_text(json.dumps(card))

        return self.publish(uid, rename)

    def damage(self, version: int) -> None:
        """Alter one byte of a published version."""
        graph = self.folder / "lake" / CLASSIFIER / "models" / str(version) / "model.onnx"
        data = bytearray(graph.read_bytes())
        data[len(data) // 2] ^= 0xFF
        graph.write_bytes(bytes(data))

    def roll_out(
        self, revision: int, stable: int, canary: int | None = None, fraction: float = 0.5
    ) -> Rollout:
        """Write the rollout document as its one writer does."""
        trial = Canary(version=canary, fraction=fraction) if canary is not None else None
        document = Rollout(revision=revision, stable=stable, canary=trial)
        fresh = self.rollout.with_suffix(".new")
        fresh.write_bytes(document.to_json())
        fresh.replace(self.rollout)
        return document


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def pngs() -> list[bytes]:
    """The first 200 official test images as PNG files."""
    split = hemline_model.dataset("fashion-mnist-sample").split("test")
    encoded = []
    for number in range(200):
        out = io.BytesIO()
        Image.fromarray(split.images[number][..., 0]).save(out, "PNG")
        encoded.append(out.getvalue())
    return encoded


@pytest.fixture(scope="session")
def labels() -> list[int]:
    """What they show."""
    split = hemline_model.dataset("fashion-mnist-sample").split("test")
    return [int(label) for label in split.labels[:200]]
