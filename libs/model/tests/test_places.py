"""Where commands write and what they call it: nobody else's files, and no path of the machine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import hemline_model as hm
from hemline_model import _functions, training
from hemline_model.cli import app
from hemline_model.training import FineTuneSettings, TrainSettings

QUICK = ["--epochs", "1", "--width", "0.25"]


@pytest.fixture
def shades(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set in the current directory."""
    labels = np.arange(80) % 2
    images = (
        np.random.default_rng(0).integers(0, 120, (80, 8, 8, 1)) + 100 * labels[:, None, None, None]
    )
    np.savez(tmp_path / "shades.npz", x_train=images.astype(np.uint8), y_train=labels)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shades.npz"


def refused(*arguments: str, code: int = 2) -> str:
    """The one line that a command ends with."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    line = result.stderr.removeprefix("error: ")
    assert line.count("\n") == 1, result.stderr
    return line.rstrip("\n")


def test_an_export_leaves_other_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.tmp").write_text("mine")
    hm.export(hm.pretrained(), tmp_path / "x.onnx")
    assert (tmp_path / "x.tmp").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.onnx", "x.tmp"]
    (tmp_path / "new").write_bytes(b"")
    # Others may read it as they may any new file.
    assert (tmp_path / "x.onnx").stat().st_mode == (tmp_path / "new").stat().st_mode
    monkeypatch.setattr(_functions, "read_verified", lambda *_: "no bytes")
    with pytest.raises(TypeError):
        hm.export(hm.pretrained(), tmp_path / "y.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "x.onnx", "x.tmp"]


def test_an_export_does_not_replace_a_link(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").symlink_to("nowhere")
    with pytest.raises(hm.BadSettings, match="exists already"):
        hm.export(hm.pretrained(), tmp_path / "x.onnx")


def test_a_link_to_nothing_is_no_place_for_a_model(shades: Path) -> None:
    Path("lnk").symlink_to("nowhere")
    expected = "lnk is a link to nothing; expected a new directory for the model"
    assert refused("train", shades.name, "--out", "lnk") == expected
    with pytest.raises(hm.BadSettings, match="lnk is a link to nothing"):
        training.ensemble_to_directory([], hm.dataset(shades), Path("lnk"))


def test_a_folder_that_takes_nothing_is_refused_before_the_training(
    shades: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shades.parent / "volume").mkdir()
    # Root, as whom tests may run, may write into everything but what is mounted to be read.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(PermissionError, match="volume"):
        hm.train(hm.dataset(shades), "volume")
    assert sorted(path.name for path in shades.parent.iterdir()) == ["shades.npz", "volume"]


def test_an_empty_folder_is_filled_where_it_cannot_be_replaced(
    shades: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = shades.parent / "volume"
    place.mkdir()
    before = place.stat().st_ino
    (shades.parent / "lnk").symlink_to("volume")
    result = CliRunner().invoke(app, ["train", shades.name, "--out", "lnk", *QUICK])
    assert result.exit_code == 0, result.output
    assert (shades.parent / "lnk").is_symlink()
    assert place.stat().st_ino == before  # as a mount point would have to stay
    card = hm.inspect(place)
    assert isinstance(card, hm.Card)
    assert {path.name for path in place.iterdir()} > {"card.json", "report.html", *card.files}
    assert not [path for path in place.iterdir() if path.name.startswith(".")]
    assert sorted(path.name for path in shades.parent.iterdir()) == ["lnk", "shades.npz", "volume"]

    here = shades.parent / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    weights = str(place)
    command = ["train", "../shades.npz", "--out", ".", "--weights", weights, "--epochs", "1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    card = hm.read_card(here)
    assert card.parameters["weights"] == "volume"
    assert str(shades.parent) not in card.model_dump_json()
    assert sorted(path.name for path in shades.parent.iterdir()) == [
        "here",
        "lnk",
        "shades.npz",
        "volume",
    ]
    assert refused("train", "../shades.npz", "--out", ".").startswith(". exists already")


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_seeds_that_no_generator_takes(shades: Path, seed: str) -> None:
    expected = f"seed is {seed}; expected a value from 0 to 4294967295"
    assert refused("train", shades.name, "--seed", seed) == expected
    assert [path.name for path in shades.parent.iterdir()] == [shades.name]
    with pytest.raises(hm.BadSettings, match="seed is"):
        FineTuneSettings(seed=int(seed))
    assert TrainSettings(seed=2**32 - 1).seed == 2**32 - 1


def test_a_name_is_no_style(shades: Path) -> None:
    name = "b[/red]"
    told = refused("train", name, code=1)
    assert told.startswith(f"there is no data set at {name!r}")
    for label in ("cat", "dog"):
        (shades.parent / "[red]" / label).mkdir(parents=True)
        for number in range(30):
            picture = Image.new("L", (8, 8), number * 8)
            picture.save(shades.parent / "[red]" / label / f"{number}.png")
    result = CliRunner().invoke(app, ["train", "[red]", "--strict", *QUICK])
    assert result.stderr.startswith("[red]: 2 classes"), result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "~nosuchuser/x"],
        ["test", "fashion-mnist-sample", "-m", "~nosuchuser/x"],
        ["train", "fashion-mnist-sample", "--weights", "~nosuchuser/x"],
    ],
)
def test_the_home_of_nobody(tmp_path: Path, arguments: list[str]) -> None:
    out = ["--out", str(tmp_path / "model")] if arguments[0] == "train" else []
    assert "'~nosuchuser/x'" in refused(*arguments, *out, code=1)


def test_a_date_that_the_calendar_lacks(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("data: 2020-13-45\n")
    told = refused("train", "--config", str(config))
    assert told.startswith(f"{config} is not valid YAML: month must be in 1..12")


def test_a_backend_that_there_is_not(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "hemline_model", "train", "fashion-mnist-sample"],
        env={**os.environ, "KERAS_BACKEND": "foo"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: Keras cannot be loaded with KERAS_BACKEND=foo: ")
    assert ended.stderr.endswith("; expected tensorflow, jax or torch\n")
    assert ended.stderr.count("\n") == 1


def test_a_builder_that_cannot_be_imported(shades: Path) -> None:
    Path("syntax_of_mine.py").write_text("def build(:\n")
    told = refused("train", shades.name, "--builder", "syntax_of_mine:build")
    assert told.startswith(
        "builder is 'syntax_of_mine:build', which cannot be imported: SyntaxError: invalid syntax"
    )
    told = refused("train", shades.name, "--builder", ".:x")
    assert told.startswith("builder is '.:x', which cannot be imported: TypeError: ")


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("L", (28, 28)).save(tmp_path / f"{number}.png")
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "hemline_model", "predict", str(tmp_path)],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_problems_name_no_path_of_the_machine(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for number in range(30):
            Image.new("L", (8, 8), number).save(tmp_path / label / f"{number}.png")
    (tmp_path / "cat" / "bad.png").write_bytes(b"no picture")
    (problem,) = hm.dataset(tmp_path).problems
    assert str(problem) == (
        "cat/bad.png: cannot be read (its content is no image of a known format); left out"
    )


def test_a_model_directory_does_not_hide_the_data_set_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = np.arange(80) % 2
    images = np.random.default_rng(0).integers(0, 256, (80, 8, 8), np.uint8)
    (tmp_path / "sets").mkdir()
    np.savez(tmp_path / "sets" / "mnist.npz", x_train=images, y_train=labels)
    monkeypatch.setenv("HEMLINE_DATASETS", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    for name in ("mnist", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text("{}")
    assert len(hm.dataset("mnist").classes) == 2
    with pytest.raises(hm.BadDataset, match="other is a model directory, not a data set"):
        hm.dataset("other")


def test_an_image_whose_name_is_no_text_is_named_all_the_same(tmp_path: Path) -> None:
    with (tmp_path / os.fsdecode(b"\xff.npy")).open("wb") as file:
        np.save(file, np.zeros((28, 28), np.uint8))
    command = [sys.executable, "-m", "hemline_model", "predict", tmp_path]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "\\udcff.npy  " in done.stdout
