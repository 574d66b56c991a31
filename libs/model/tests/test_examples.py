"""What the README promises: a second real data set, a colour folder, another backend."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import hemline_model as hm
from hemline_model import training


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bunch = load_digits()
    images = (bunch.images * 15.9375).astype(np.uint8)
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    np.savez(
        path,
        x_train=images[:1500],
        y_train=bunch.target[:1500],
        x_test=images[1500:],
        y_test=bunch.target[1500:],
    )
    return path


def test_digits(digits: Path, tmp_path: Path) -> None:
    settings = training.TrainSettings(
        epochs=8, augment=training.AugmentSettings(flip=False, erase=0.2)
    )
    card = hm.train(digits, tmp_path / "model", settings=settings)
    assert card.input.shape == (8, 8, 1)
    assert (card.metrics["test_accuracy"] or 0) > 0.9
    report = (tmp_path / "model" / "report.html").read_text()
    assert "Worst mistakes" in report
    assert "<svg" in report
    assert "<script" not in report
    assert 'src="http' not in report
    found = hm.test(tmp_path / "model", digits)
    assert found.accuracy == pytest.approx(card.metrics["test_accuracy"], abs=0.01)
    assert found.interval[0] < found.accuracy < found.interval[1]
    assert found.confusion.sum() == 297


def test_a_colour_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for label, shade in (("red", 0), ("green", 1), ("blue", 2)):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(60):
            pixels = rng.integers(0, 120, (20 + number % 5, 24, 3), np.uint8)
            pixels[:, :, shade] += 130
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{number}.jpg")
    settings = training.TrainSettings(
        epochs=4, batch_size=16, network=training.NetworkSettings(width=0.5, blocks=(1,))
    )
    card = hm.train(tmp_path / "data", tmp_path / "model", settings=settings)
    assert card.classes == ["blue", "green", "red"]
    assert card.input.channels == 3
    assert (card.metrics["validation_accuracy"] or 0) > 0.9
    picture = tmp_path / "one.png"
    Image.new("RGB", (200, 100), (10, 10, 240)).save(picture)
    answer = next(hm.predict(tmp_path / "model", [picture]))
    assert (answer.label, answer.error) == (0, None)
    assert answer.label_name == "blue"


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


def test_training_on_jax(digits: Path) -> None:
    pytest.importorskip("jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", BACKEND, str(digits)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("jax ")
