"""The commands that the README and the page of this package show first are run as they stand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import hemline_model as hm

PACKAGE = Path(__file__).parents[1]
ROOT = PACKAGE.parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def photos(folder: Path, *classes: str) -> None:
    """Colour pictures of several sizes and formats, of another shade for each class."""
    rng = np.random.default_rng(0)
    for number, label in enumerate(classes):
        (folder / label / "deeper").mkdir(parents=True)
        for count in range(25):
            height, width = rng.integers(16, 40, 2)
            pixels = rng.integers(0, 60, (height, width, 3))
            pixels[:, :, number] += 150
            suffix = ("png", "jpg", "webp")[count % 3]
            place = folder / label / ("deeper" if count % 4 == 0 else "")
            Image.fromarray(pixels.astype(np.uint8)).save(place / f"{count}.{suffix}")


def run(commands: list[str], folder: Path) -> list[str]:
    """What a shell in a folder that has Hemline in its `.venv` writes."""
    program = folder / ".venv" / "bin" / "hemline"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m hemline_model "$@"\n')
    program.chmod(0o755)
    script = "\n".join(["set -eu", 'PATH="$PWD/.venv/bin:$PATH"', *commands])
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_train_on_my_data(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("\n## Train on my data\n")[2]
    block = section.partition("\n## ")[0]
    commands = re.findall(r"^    (.*)$", block, re.M)
    assert len(commands) == 3
    photos(tmp_path / "photos", "cat", "dog", "owl")
    (tmp_path / "some").mkdir()
    shutil.copy(tmp_path / "photos" / "dog" / "1.jpg", tmp_path / "some" / "image.jpg")
    trained, accuracy, *_, answer = run(commands, tmp_path)
    assert trained == "my-model"
    assert float(accuracy.split()[1]) > 0.8
    assert re.fullmatch(r"some/image\.jpg  (cat|dog|owl)  [01]\.\d{3}", answer)


def test_five_minutes_with_your_own_images(tmp_path: Path) -> None:
    page = (PACKAGE / "README.md").read_text()
    section = page.partition("\n## Five minutes with your own images\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, re.M | re.S)
    # The time is used whole, and a test has seconds.
    assert "--budget 10m" in block
    commands = block.replace("--budget 10m", "--budget 4s").splitlines()
    photos(tmp_path / "pictures", "cat", "dog")
    shutil.copy(tmp_path / "pictures" / "dog" / "1.jpg", tmp_path / "new.jpg")
    trained, answer = run(commands, tmp_path)
    assert trained == "cats-and-dogs"
    # How much is learned in seconds depends on what else the machine does.
    assert re.fullmatch(r"new\.jpg  (cat|dog)  [01]\.\d{3}", answer)
    # The table says what is there.
    table = section[section.index("| file |") :].partition("\n\n")[0]
    told = {
        name for row in table.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    assert told == {path.name for path in (tmp_path / "cats-and-dogs").iterdir()}
    card = hm.read_card(tmp_path / "cats-and-dogs")
    assert card.parameters["command"] == (
        "python -m hemline_model train pictures --out cats-and-dogs --budget 4s"
    )
