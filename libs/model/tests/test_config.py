"""Settings from YAML files and flags: mistakes are named, the nearest known key offered."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from hemline_model import BadSettings
from hemline_model._config import parse_duration, read_config, settings_from
from hemline_model.cli import app
from hemline_model.cli._progress import Watch
from hemline_model.training import FineTuneSettings, TrainSettings

QUOTES = "expected text: put quotes around what only looks like a number or a date"


def test_nested_settings_from_plain_values() -> None:
    values = {"epochs": 3, "augment": {"flip": False}, "network": {"blocks": [1, 2]}}
    settings = settings_from(TrainSettings, values, "config.yaml")
    assert settings.epochs == 3
    assert settings.augment.flip is False
    assert settings.augment.shift == TrainSettings().augment.shift
    assert settings.network.blocks == (1, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "c.yaml: 'epoch' is not a known key; did you mean epochs?"),
        (
            {"augment": {"flips": True}},
            "c.yaml: augment: 'flips' is not a known key; did you mean flip?",
        ),
        (
            {"augment": {"zzz": True}},
            "c.yaml: augment: 'zzz' is not a known key; known keys: erase, flip, shift",
        ),
        ({"epochs": 0}, "epochs is 0; expected a value from 1 to 100000"),
        (
            {"epochs": "many"},
            "c.yaml: epochs is 'many'; input should be a valid integer, unable to parse string as an integer",
        ),
        ({"augment": {"shift": 2.0}}, "shift is 2.0; expected a value from 0 to 0.9"),
    ],
)
def test_mistakes_are_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadSettings) as caught:
        settings_from(TrainSettings, values, "c.yaml")
    assert str(caught.value) == message


def test_fine_tune_settings_are_checked_too() -> None:
    with pytest.raises(BadSettings, match="steps is 0; expected a value from 1 to 1000000"):
        FineTuneSettings(steps=0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (30, 30)]
)
def test_durations(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_wrong_duration() -> None:
    with pytest.raises(BadSettings) as caught:
        parse_duration("10 fortnights")
    assert str(caught.value) == (
        "'10 fortnights' is no duration; expected a number with s, m or h, like 10m"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n- b\n", "holds a list; expected keys and values, like `epochs: 20`"),
        ("data: [unclosed", "is not valid YAML: "),
        ("dat: x\n", "'dat' is not a known key; did you mean data?"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML: could not determine"),
    ],
)
def test_configuration_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(content)
    with pytest.raises(BadSettings) as caught:
        read_config(path, ["data", "epochs"])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "no data was named; expected `train DATA`, or `data:` in the config file"),
        (
            ["train", "fashion-mnist-sample", "--size", "28"],
            "size is '28'; expected HEIGHTxWIDTHxCHANNELS such as 64x64x3 (sides from 8 to 1024, "
            "1 or 3 channels)",
        ),
        (
            ["train", "fashion-mnist-sample", "--epochs", "0"],
            "epochs is 0; expected a value from 1 to 100000",
        ),
    ],
)
def test_the_command_refuses_what_makes_no_sense(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr == f"error: {message}\n"


def test_what_a_configuration_file_may_say(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((60, 8, 8), np.uint8), labels=np.arange(60) % 2)
    config = tmp_path / "c.yaml"
    config.write_text(f"data: {tmp_path / 'a.npz'}\nstrict: true\n")
    result = CliRunner().invoke(app, ["train", "--config", str(config)])
    assert result.exit_code == 1
    assert "58 train, 2 validation" in result.stderr
    assert "validation: 2 images are in the train split too: a-train-" in result.stderr
    assert "has 1 problem, listed above; mend them, or leave out --strict" in result.stderr
    config.write_text(f"data: {tmp_path / 'a.npz'}\nweights: nowhere\n")
    result = CliRunner().invoke(app, ["train", "--config", str(config)])
    assert result.exit_code == 1
    assert result.stderr == (
        "error: no pretrained model is called 'nowhere'; shipped: fashion-mnist, fashion-mnist-accurate\n"
    )
    config.write_text("wieghts: nowhere\n")
    result = CliRunner().invoke(app, ["train", "--config", str(config)])
    assert result.stderr == (
        f"error: {config}: 'wieghts' is not a known key; did you mean weights?\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("data: x\nout: 2026-11-27", "out is 2026-11-27 (date); " + QUOTES),
        ("data: x\nout: 5", f"out is 5 (int); {QUOTES}"),
        ("data: 5", f"data is 5 (int); {QUOTES}"),
        ("data: [1]", f"data is [1] (list); {QUOTES}"),
        (
            "data: x\nstrict: 'false'",
            "strict is 'false'; expected true or false, without quotes",
        ),
        ("data: x\naugment: 5", "augment is 5; input should be a dictionary or an instance of"),
    ],
)
def test_values_of_the_wrong_kind(tmp_path: Path, content: str, message: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(content)
    result = CliRunner().invoke(app, ["train", "--config", str(config), "--flip"])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {config}: {message}")
    assert result.stderr.count("\n") == 1


def test_a_configured_place_may_begin_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "taken").write_text("")
    config = tmp_path / "c.yaml"
    config.write_text("data: fashion-mnist-sample\nout: ~/taken\n")
    result = CliRunner().invoke(app, ["train", "--config", str(config)])
    assert result.stderr == (
        f"error: {tmp_path}/taken exists already; expected a new directory for the model\n"
    )


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["export", str(tmp_path / "file" / "graph.onnx")])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert str(tmp_path / "file") in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_help_names_the_exit_codes() -> None:
    shown = " ".join(CliRunner().invoke(app, ["--help"]).stdout.split())
    assert "130 or 143 stopped by Ctrl-C or SIGTERM" in shown


def test_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    watch = Watch(Console(file=StringIO()))
    # Resumed at 40 %: only what was done since counts as speed.
    watch.on_progress(0.4)
    assert watch.left() == ""
    for at, done, expected in (
        (110.0, 0.5, "about 50 s left"),
        (200.0, 0.5, "about 8 min left"),
        (4000.0, 0.5, "about 5.4 h left"),
        (4000.0, 1.0, ""),
    ):
        now[0] = at
        watch.on_progress(done)
        assert watch.left() == expected


def test_export_and_inspect(tmp_path: Path) -> None:
    out = tmp_path / "graph.onnx"
    assert CliRunner().invoke(app, ["export", str(out)]).exit_code == 0
    assert out.stat().st_size > 100_000
    again = CliRunner().invoke(app, ["export", str(out)])
    assert again.exit_code == 2
    assert again.stderr == f"error: {out} exists already; expected a new file name\n"
    shown = CliRunner().invoke(app, ["inspect", "fashion-mnist-sample"])
    assert shown.stdout.splitlines()[0] == "fashion-mnist: 10 classes, 28x28x1 images"
