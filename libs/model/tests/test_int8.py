"""The 8-bit graph: what is counted, on which images, and when it is left out."""

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import hemline_model as hm
from hemline_model import training
from hemline_model.cli._common import conclude
from hemline_model.training import _export as export_module
from hemline_model.training._keras import keras
from hemline_model.training._quantize import Comparison, quantize
from hemline_model.training._run import images_for_int8

layers = keras.layers


@pytest.mark.parametrize(
    ("images", "lost", "gained", "acceptable"),
    [
        (40, 0, 0, True),
        # Of 40 images 0.3 points are an eighth of one: that one turned says nothing, that two did does.
        (40, 1, 0, True),
        (40, 2, 0, False),
        (40, 3, 2, True),
        (1_000, 3, 0, True),
        (1_000, 5, 0, False),
        (1_000, 12, 9, True),
        (1_000, 13, 3, False),
        (5_000, 15, 0, True),
        (5_000, 63, 47, False),
        (6_000, 40, 22, True),
        (6_000, 40, 21, False),
        (6_000, 0, 100, True),
        (60_000, 4_000, 3_815, False),
    ],
)
def test_a_loss_is_more_than_chance_and_more_than_three_in_a_thousand(
    images: int, lost: int, gained: int, acceptable: bool
) -> None:
    compared = Comparison(images, images - lost - gained, lost, gained)
    assert compared.acceptable == acceptable


def test_what_is_counted() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2])
    original = np.array([0, 0, 1, 1, 0, 0])
    quantized = np.array([0, 1, 0, 0, 2, 0])
    found = Comparison.of(original, quantized, truth)
    assert found == Comparison(images=6, alike=2, lost=2, gained=1)
    assert found.change == pytest.approx(-1 / 6)


def data(train: int, validation: int) -> hm.Dataset:
    """Images of one shade of three, sorted by class as a folder is."""
    parts = {}
    for name, count in (("train", train), ("validation", validation), ("test", 30)):
        labels = np.sort(np.arange(count) % 3)
        shades = np.broadcast_to((100 * labels)[:, None, None, None], (count, 8, 8, 1))
        ids = [f"{name}-{number}" for number in range(count)]
        parts[name] = hm.Split(ids, labels, shades.astype(np.uint8))
    shape = hm.InputContract(height=8, width=8, channels=1)
    return hm.Dataset("shades", ["dark", "grey", "light"], shape, parts)


@pytest.mark.parametrize(
    ("train", "validation", "expected"),
    [(8_000, 60, 5_000), (300, 60, 360), (2_000, 5_500, 5_500)],
)
def test_few_images_to_validate_on_are_filled_up(
    train: int, validation: int, expected: int
) -> None:
    opened = data(train, validation)
    split = images_for_int8(opened)
    assert len(split) == len(split.images) == len(split.labels) == len(set(split.ids)) == expected
    assert set(opened.split("validation").ids) <= set(split.ids)
    # Those of the train split are of all classes, though it is sorted by them.
    assert set(split.labels[validation:]) in (set(), {0, 1, 2})
    for images, labels in split.batches(100):
        np.testing.assert_array_equal(images[:, 0, 0, 0], 100 * labels)


def linear(classes: int = 3) -> object:
    """A network that tells the shades apart, made without training."""
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    x = layers.Flatten()(layers.AveragePooling2D(8)(layers.Rescaling(1 / 100)(inputs)))
    dense = layers.Dense(classes)
    model = keras.Model(inputs, dense(x))
    dense.set_weights([np.array([[-4.0, 0.0, 4.0]]), np.array([2.0, 0.0, -6.0])])
    return model


@pytest.mark.parametrize(("lost", "kept"), [(16, True), (17, False)])
def test_it_is_left_out_if_it_loses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: int, kept: bool
) -> None:
    split = images_for_int8(data(6_000, 20))

    def answers(path: Path, asked: hm.Split) -> np.ndarray:
        found = asked.labels.copy()
        if path.name == "model.int8.onnx":
            # 1 is won back by the 8-bit graph.
            found[1 : lost + 1] = (found[1 : lost + 1] + 1) % 3
        else:
            found[0] = (found[0] + 1) % 3
        return found

    monkeypatch.setattr(export_module, "answers_of_graph", answers)
    fields = {"classes": ["dark", "grey", "light"], "metrics": {"test_accuracy": 0.5}}
    card = training.export(linear(), fields, tmp_path / "model", int8=split)
    assert card.metrics == {
        "test_accuracy": 0.5,
        "int8_accuracy_change": pytest.approx((1 - lost) / 5_000),
        "int8_agreement": pytest.approx(1 - (1 + lost) / 5_000),
    }
    assert card.parameters["int8"] == {"images": 5_000, "turned_wrong": lost, "turned_right": 1}
    assert ("model.int8.onnx" in card.files) == kept
    assert (tmp_path / "model" / "model.int8.onnx").exists() == kept
    with (console := Console(force_terminal=False, width=200)).capture() as shown:
        conclude(console, card)
    said = f"no 8-bit graph: of 5,000 images it turned {lost} from right to wrong and 1 back"
    assert (said in shown.get()) != kept


def test_a_graph_that_answers_otherwise_is_noticed_on_few_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(source: Path, target: Path, split: hm.Split) -> None:
        # Ranges measured on images without light: what is lighter is cut off.
        quantize(source, target, hm.Split(split.ids, split.labels, np.asarray(split.images) // 20))

    monkeypatch.setattr(export_module, "quantize", spoilt)
    card = training.export(
        linear(), {"classes": ["a", "b", "c"]}, tmp_path / "bad", int8=data(60, 9).split("train")
    )
    assert "model.int8.onnx" not in card.files
    monkeypatch.undo()
    card = training.export(
        linear(), {"classes": ["a", "b", "c"]}, tmp_path / "good", int8=data(60, 9).split("train")
    )
    assert card.metrics["int8_agreement"] == 1
    assert hm.load(tmp_path / "good", precision="int8").precision == "int8"


def test_the_card_of_a_training_says_how_right_the_8_bit_graph_is(tmp_path: Path) -> None:
    opened = data(300, 60)
    settings = training.TrainSettings(epochs=1, batch_size=30, learning_rate=1e-9)
    out = tmp_path / "model"
    card = hm.train(opened, out, settings=settings, build=lambda *_: linear())
    served = hm.load(out, precision="int8").predict(np.asarray(opened.split("test").images))
    right = (served.labels == opened.split("test").labels).mean()
    assert card.metrics["test_accuracy_int8"] == pytest.approx(right) == 1
    assert hm.read_card(out) == card
    assert '"test_accuracy_int8": 1.0' in (out / "training.jsonl").read_text().splitlines()[-1]
