"""Networks of a user's own, and beginning from trained weights."""

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import hemline_model as hm
from hemline_model import training
from hemline_model.cli import app
from hemline_model.training._keras import keras

layers = keras.layers


def bars(classes: int = 2, count: int = 160) -> hm.Dataset:
    """Images with a bright bar at a place that tells the class."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    images = rng.integers(0, 90, (count, 12, 12, 1), np.uint8)
    for row, label in enumerate(labels):
        images[row, 3 * label : 3 * label + 3] += 140
    return hm.dataset_from(zip(images, labels.tolist(), strict=True), name="bars")


def plain(data: hm.Dataset, settings: training.TrainSettings) -> object:
    """A functional network that takes floats and has a model inside it."""
    inputs = keras.Input(data.input.shape)
    inner = keras.Sequential([layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization()])
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.GlobalMaxPooling2D()(layers.ReLU()(inner(x)))
    return keras.Model(
        inputs, layers.Dense(len(data.classes))(layers.Concatenate()([x, mean(inputs)]))
    )


def mean(inputs: object) -> object:
    return layers.Flatten()(layers.AveragePooling2D((3, 12))(layers.Rescaling(1 / 255)(inputs)))


def sequential(data: hm.Dataset, settings: training.TrainSettings) -> object:
    return keras.Sequential(
        [
            keras.Input(data.input.shape, dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(len(data.classes)),
        ]
    )


@pytest.mark.parametrize("build", [plain, sequential])
def test_a_network_of_ones_own(tmp_path: Path, build: training.Builder) -> None:
    settings = training.TrainSettings(epochs=25, batch_size=16, learning_rate=0.05)
    card = hm.train(bars(), tmp_path / "model", settings=settings, build=build)
    assert (card.metrics["validation_accuracy"] or 0) > 0.9
    assert card.metrics["int8_accuracy_change"] is not None
    served = hm.test(tmp_path / "model", bars(), split="validation")
    assert served.accuracy == pytest.approx(card.metrics["validation_accuracy"], abs=0.1)
    # What was written can be trained further.
    loaded = training.load_model(tmp_path / "model")
    images = bars().split("train").images
    np.testing.assert_allclose(
        training.predict_logits(loaded, images),
        hm.load(tmp_path / "model", precision="float32").logits(np.asarray(images)),
        atol=1e-3,
    )


class Unregistered(layers.Layer):
    def call(self, inputs: object) -> object:
        return inputs


def with_layer(layer: object) -> training.Builder:
    def build(data: hm.Dataset, settings: training.TrainSettings) -> object:
        return keras.Sequential(
            [
                keras.Input(data.input.shape),
                layer,
                layers.Flatten(),
                layers.Dense(len(data.classes)),
            ]
        )

    return build


def head(units: int, activation: str | None = None) -> training.Builder:
    def build(data: hm.Dataset, settings: training.TrainSettings) -> object:
        return keras.Sequential(
            [keras.Input(data.input.shape), layers.Flatten(), layers.Dense(units, activation)]
        )

    return build


class Subclassed(keras.Model):
    def call(self, inputs: object) -> object:
        return inputs


UNFIT: dict[str, tuple[training.Builder, str]] = {
    "nothing": (lambda *_: None, "the builder returned a NoneType; expected a keras.Model"),
    "a subclassed model": (
        lambda *_: Subclassed(),
        "the builder returned a Subclassed of unknown shape; expected a functional or Sequential",
    ),
    "another input": (
        lambda *_: keras.Sequential([keras.Input((8, 8, 3)), layers.Flatten(), layers.Dense(2)]),
        r"the network takes \(None, 8, 8, 3\); expected \(None, 12, 12, 1\): use data.input.shape",
    ),
    "another number of classes": (
        head(5),
        r"the network answers with \(None, 5\); expected \(None, 2\), one logit for each class",
    ),
    "probabilities": (
        head(2, "softmax"),
        "the network ends in a softmax .*; expected logits: leave it out",
    ),
    "a lambda": (
        with_layer(layers.Lambda(lambda x: x / 255)),
        "cannot be saved and loaded again without running code from the file; expected no Lambda",
    ),
    "a layer that nobody knows": (
        with_layer(Unregistered()),
        "own layers with @keras.saving.register_keras_serializable",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_network_that_does_not_fit_is_refused_before_it_is_trained(
    tmp_path: Path, name: str
) -> None:
    build, message = UNFIT[name]
    with pytest.raises(hm.BadSettings, match=message):
        hm.train(bars(), tmp_path / "model", build=build)
    assert list(tmp_path.iterdir()) == []


def test_a_builder_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_network.py").write_text("def build(data, settings):\n    return None\n")
    np.savez(tmp_path / "a.npz", images=np.zeros((60, 8, 8), np.uint8), labels=np.arange(60) % 2)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    for spec, message in {
        "my_own_network:build": "the builder returned a NoneType; expected a keras.Model",
        "my_own_network": "builder is 'my_own_network'; expected MODULE:FUNCTION such as "
        "my_network:build, for a function build in my_network.py",
        "my_own_network:built": "builder is 'my_own_network:built': module 'my_own_network' has no "
        "attribute 'built'",
        "no_such_network:build": "builder is 'no_such_network:build': No module named "
        "'no_such_network'",
    }.items():
        result = CliRunner().invoke(app, ["train", "a.npz", "--builder", spec])
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == f"error: {message}"
    assert sys.path == before
    (tmp_path / "c.yaml").write_text("builder: my_own_network:build\n")
    result = CliRunner().invoke(app, ["train", "a.npz", "--config", "c.yaml"])
    assert "'builder' is not a known key" in result.stderr


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "model"
    hm.train(bars(4), out, settings=small(epochs=12))
    return out


def small(**changes: object) -> training.TrainSettings:
    values: dict[str, object] = {
        "batch_size": 16,
        "network": training.NetworkSettings(width=0.5, blocks=(1,)),
        "augment": training.AugmentSettings(flip=False, erase=0.0, shift=0.0),
    }
    return training.TrainSettings(**{**values, **changes})


def test_beginning_from_a_trained_model(base: Path, tmp_path: Path) -> None:
    # No rate to speak of: what it can do afterwards it could do before.
    settings = small(
        epochs=1, learning_rate=1e-7, weights=str(base), network=training.NetworkSettings()
    )
    card = hm.train(bars(4), tmp_path / "same", settings=settings)
    before = hm.read_card(base).metrics["validation_accuracy"]
    assert card.metrics["validation_accuracy"] == pytest.approx(before, abs=0.1)
    assert card.parameters["weights"] == base.name
    assert str(base) not in card.model_dump_json()
    fitted = training.fit(bars(2), settings)
    source, model = training.load_model(base), fitted.model
    assert model.output_shape == (None, 2)
    for one, other in zip(source.layers, model.layers, strict=True):
        if isinstance(one, layers.Conv2D):
            np.testing.assert_allclose(one.get_weights()[0], other.get_weights()[0], atol=1e-4)


def test_weights_that_do_not_fit(base: Path) -> None:
    other = small(weights=str(base), network=training.NetworkSettings(blocks=(2,)))
    with pytest.raises(hm.BadSettings, match="expected the same network: leave out `network`"):
        training.fit(bars(4), other)
    with pytest.raises(
        hm.BadSettings, match=r"has weights of .* here and .* in .*, which takes 12x"
    ):
        training.fit(bars(4), small(weights=str(base), network=training.NetworkSettings(2.0, (1,))))
    with pytest.raises(hm.BadModel, match="no pretrained model is called 'nowhere'"):
        training.fit(bars(4), small(weights="nowhere"))
