"""What would fail after a long training, or train on something else than meant, is refused before."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command
from typer.testing import CliRunner

import hemline_model as hm
from hemline_model import BadDataset, dataset, dataset_from
from hemline_model._pretrained import shipped_models
from hemline_model.cli import app

PIXELS = np.random.default_rng(0).integers(0, 256, (80, 10, 10), np.uint8)
LABELS = np.arange(80) % 2


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat"], "pets has 1 class; expected 2 to 1,000"),
        (["cat", "dog", "cat"], "pets names the class 'cat' twice; expected each once"),
        ([str(n) for n in range(1001)], "pets has 1,001 classes; expected 2 to 1,000"),
    ],
    ids=["one", "twice", "many"],
)
def test_classes_that_no_card_could_hold(classes: Sequence[str], message: str) -> None:
    shape = hm.InputContract(height=10, width=10, channels=1)
    with pytest.raises(BadDataset) as caught:
        hm.Dataset("pets", list(classes), shape, {})
    assert str(caught.value) == message


def test_labels_beyond_what_a_model_tells_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=PIXELS, labels=LABELS * 4_000_000_000)
    with pytest.raises(BadDataset) as caught:
        dataset(path)
    assert str(caught.value) == (
        f"{path} has the label 4000000000; expected 0 to 999, or names for labels"
    )
    np.savez(path, images=PIXELS, labels=LABELS, classes=["cat", "dog", "dog"])
    with pytest.raises(BadDataset) as caught:
        dataset(path)
    assert str(caught.value) == f"{path} names the class 'dog' twice; expected each once"


def test_a_sample_with_a_label_beyond_is_left_out() -> None:
    pairs = [*zip(PIXELS, LABELS.tolist(), strict=True), (PIXELS[0], 10**15)]
    found = dataset_from(pairs)
    assert found.classes == ["0", "1"]
    assert [str(problem) for problem in found.problems] == [
        f"sample 80: its label is {10**15}; expected 0 to 999; left out"
    ]


def test_a_folder_of_another_format_says_what_is_wrong(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(2):
            Image.fromarray(PIXELS[number]).save(tmp_path / label / f"{number}.bmp")
    with pytest.raises(BadDataset) as caught:
        dataset(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds no classes with readable images; expected at least 2, each a folder "
        "with its images inside; 4 problems, the first: cat/0.bmp: not a PNG, JPEG, WebP or .npy "
        "file; left out"
    )


def test_samples_of_another_kind_say_what_is_wrong() -> None:
    with pytest.raises(BadDataset) as caught:
        dataset_from(zip(PIXELS / 255, LABELS.tolist(), strict=True))
    assert str(caught.value) == (
        "samples holds no usable samples; 80 problems, the first: sample 0: the array holds float64 "
        "values; expected uint8 from 0 to 255: scale it and convert it with .astype('uint8'); left "
        "out"
    )
    with pytest.raises(BadDataset) as caught:
        dataset_from([])
    assert str(caught.value) == "samples holds no usable samples"


def test_a_shipped_model_is_inspected_by_name() -> None:
    card = hm.inspect("fashion-mnist-accurate")
    assert card == hm.read_card(hm.pretrained("fashion-mnist-accurate"))
    with pytest.raises(BadDataset, match="there is no data set at 'fashion-mnist-accurat'"):
        hm.inspect("fashion-mnist-accurat")


def test_the_help_of_inspect_names_the_shipped_models() -> None:
    shown = CliRunner().invoke(app, ["inspect", "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    for name in shipped_models():
        assert re.search(rf"\b{name}\b[^-]", shown.stdout), name


def test_no_help_is_taken_for_markup() -> None:
    # What stands in brackets is a style to rich, and is not shown.
    group = get_command(app)
    told = [part for command in group.commands.values() for part in (command, *command.params)]
    assert len(told) > 30
    assert [part.name for part in told if "[" in (getattr(part, "help", None) or "")] == []


NO_CONVERTER = """
import sys
sys.modules["jax2onnx"] = None
import hemline_model as hm
from hemline_model import training

def step(step, loss):
    sys.exit("it was trained first")

try:
    hm.train(sys.argv[1], sys.argv[2], settings=training.TrainSettings(epochs=1), on_step=step)
except hm.MissingExtra as error:
    print(error)
"""


def test_what_cannot_be_exported_is_not_trained(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS)
    ended = subprocess.run(
        [sys.executable, "-c", NO_CONVERTER, tmp_path / "a.npz", tmp_path / "model"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == (
        "a model trained on Keras's jax backend is exported with jax2onnx, which is not installed: "
        "install jax2onnx or hemline-model[train,jax], or train on TensorFlow "
        "(KERAS_BACKEND=tensorflow)\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_command_line_without_its_extra_is_one_line(tmp_path: Path) -> None:
    # A None in sys.modules is a module that is not installed, as far as an import can tell.
    code = (
        "import runpy, sys; sys.modules['typer'] = None; "
        "runpy.run_module('hemline_model', run_name='__main__')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        "error: the command line needs typer: pip install 'hemline-model[cli]', or "
        "'hemline-model[train,cli]' to train\n"
    )
