"""What the README promises: the worked examples, the report, another backend."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image
from typer.testing import CliRunner

import hemline_model as hm
from hemline_model.cli import app

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("digits")
    example("digits").main(out, epochs=8)
    return out


def test_digits(digits: Path) -> None:
    card = hm.read_card(digits / "model")
    assert card.input.shape == (8, 8, 1)
    assert (card.metrics["test_accuracy"] or 0) > 0.9
    assert set(card.data["pixels"]) == {"train", "validation", "test"}
    found = hm.test(digits / "model", digits / "digits.npz")
    assert found.accuracy == pytest.approx(card.metrics["test_accuracy"], abs=0.01)
    assert found.interval[0] < found.accuracy < found.interval[1]
    assert found.confusion.sum() == 297
    result = CliRunner().invoke(
        app, ["predict", "--model", str(digits / "model"), str(digits / "three.png")]
    )
    assert "  three  " in result.stdout


def test_the_report_holds_everything_and_needs_nothing(digits: Path) -> None:
    report = (digits / "model" / "report.html").read_text()
    card = hm.read_card(digits / "model")
    metrics = card.metrics
    for said in (
        rf"Accuracy <strong>{metrics['test_accuracy']:.2%}</strong> on 297 images",
        r"95 % interval \d\d\.\d\d% to \d+\.\d\d%",
        r"<h2>Training</h2>.*Loss.*Validation accuracy",
        r"<th>class</th><th>images</th><th>found</th><th>right when named</th>",
        *(rf"<td>{name}</td><td>\d+</td>" for name in card.classes),
        r"Confusion matrix",
        r"<th>is</th><th>taken for</th>",
        rf"error {metrics['test_calibration_error_before']:.4f} before the temperature, "
        rf"{metrics['test_calibration_error']:.4f} after it",
        r"Reliability",
        r'<h2>Worst mistakes</h2>.*<div class="sheet"><figure><img src="data:image/png;base64,',
        r"<figcaption>\w+, taken for \w+ \(\d+%\)</figcaption>",
    ):
        assert re.search(said, report, re.DOTALL), said
    # Nothing is fetched and nothing runs when somebody opens it.
    assert not re.search(r"<script|<link|<iframe|@import", report)
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", report)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_colour_folder(tmp_path: Path) -> None:
    card = example("colour_folder").main(tmp_path, epochs=4)
    assert card.classes == ["flower", "temple"]
    assert card.input.shape == (32, 32, 3)
    assert (card.metrics["validation_accuracy"] or 0) > 0.75
    picture = tmp_path / "sky.png"
    Image.open(tmp_path / "photos" / "temple" / "0-0.jpg").resize((200, 100)).save(picture)
    answer = next(hm.predict(tmp_path / "model", [picture]))
    assert (answer.label_name, answer.error) == ("temple", None)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_fashion_mnist(tmp_path: Path) -> None:
    out = tmp_path / "model"
    flags = ["--epochs", "2", "--batch-size", "64", "--width", "0.5", "--out", str(out)]
    result = CliRunner().invoke(app, ["train", "fashion-mnist-sample", *flags])
    assert result.exit_code == 0, result.stderr
    assert "epoch 2: loss" in result.stderr
    assert re.search(r"^test accuracy: 0\.\d{4} of 10,000 images$", result.stderr, re.M)
    # What was typed, no defaults, and no path of this machine.
    assert (
        hm.read_card(out)
        .parameters["command"]
        .endswith("train fashion-mnist-sample --out model --epochs 2 --width 0.5 --batch-size 64")
    )
    shown = CliRunner().invoke(app, ["test", "fashion-mnist-sample", "--model", str(out)])
    accuracy = float(shown.stdout.split()[1])
    assert accuracy == pytest.approx(hm.read_card(out).metrics["test_accuracy"], abs=0.01)
    assert accuracy > 0.7


def test_the_example_of_a_network_fits_every_data_set() -> None:
    from hemline_model.training import TrainSettings
    from hemline_model.training._builder import check_network

    data = hm.dataset("fashion-mnist-sample")
    check_network(example("own_network").build(data, TrainSettings()), data)


BACKEND = """
import sys
from pathlib import Path
from hemline_model import dataset, training
import keras
settings = training.TrainSettings(
    epochs=4, batch_size=64, network=training.NetworkSettings(width=0.5, blocks=(1,)),
    augment=training.AugmentSettings(flip=False, erase=0.2),
)
data = dataset(sys.argv[1])
fitted = training.fit(data, settings)
test = data.split("test")
accuracy = (training.predict_logits(fitted.model, test.images).argmax(1) == test.labels).mean()
print(keras.backend.backend(), round(float(accuracy), 4))
sys.exit(int(accuracy < 0.5))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_training_on_jax(digits: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", BACKEND, str(digits / "digits.npz")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("jax ")
