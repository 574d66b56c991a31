"""Several models as one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import hemline_model as hm
from hemline_model import training
from hemline_model.cli import app
from hemline_model.training._keras import keras

layers = keras.layers


def network(classes: int = 3, side: int = 8) -> object:
    images = keras.Input((side, side, 1), dtype="uint8")
    x = layers.Flatten()(layers.Rescaling(1 / 255)(images))
    return keras.Model(images, layers.Dense(classes)(x), name="same")


def log_probabilities(model: object, images: np.ndarray) -> np.ndarray:
    logits = training.predict_logits(model, images).astype(np.float64)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_it_answers_with_the_mean_of_what_its_members_say_of_each_view() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)
    first, second = network(), network()
    joint = training.build_ensemble([first, second], views=["plain", "mirrored"])
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    expected = np.mean(
        [log_probabilities(one, seen) for one in (first, second) for seen in (images, mirrored)],
        axis=0,
    )
    np.testing.assert_allclose(training.predict_logits(joint, images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("members", "views", "expected"),
    [
        ([], ["plain"], "an ensemble of no models"),
        ([(3, 8)], [], "expected plain, mirrored or both"),
        ([(3, 8)], ["upside down"], "the views are ['upside down']"),
        ([(3, 8), (4, 8)], ["plain"], "expected the same of all"),
        ([(3, 8), (3, 9)], ["plain"], "expected the same of all"),
    ],
)
def test_what_cannot_be_joined(
    members: list[tuple[int, int]], views: list[str], expected: str
) -> None:
    with pytest.raises(hm.BadSettings) as refused:
        training.build_ensemble([network(*one) for one in members], views=views)
    assert expected in str(refused.value)


def test_by_the_command_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = rng.integers(0, 120, (80, 8, 8, 1), np.uint8) + (100 * labels[:, None, None, None])
    np.savez(tmp_path / "shades.npz", x_train=images.astype(np.uint8), y_train=labels)
    opened = hm.dataset(tmp_path / "shades.npz")
    for seed in (0, 1):
        settings = training.TrainSettings(epochs=2, seed=seed)
        hm.train(opened, tmp_path / str(seed), settings=settings, build=lambda data, _: network(2))
    out = tmp_path / "joint"
    members = [str(tmp_path / "0"), str(tmp_path / "1")]
    command = ["ensemble", *members, "--data", str(tmp_path / "shades.npz"), "--out", str(out)]
    checkpoint = training.working_directory(out)
    checkpoint.mkdir()  # of a training that is to go on
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    card = hm.read_card(out)
    assert card.parameters["views"] == ["plain"]  # these networks never learned a mirrored image
    assert card.parameters["members"] == [
        {"name": name, "sha256": hm.read_card(tmp_path / name).files["model.keras"].sha256}
        for name in ("0", "1")
    ]
    # Absolute paths stay on this machine.
    assert card.parameters["command"].endswith("ensemble 0 1 --data shades.npz --out joint")
    assert str(tmp_path) not in card.model_dump_json()
    assert (out / "report.html").is_file()
    assert checkpoint.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    answers = hm.load(out, precision="float32").predict(opened.split("train").images[:8])
    assert len(answers.labels) == 8
    assert training.load_model(out).output_shape == (None, 2)

    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "exists already; expected a new directory" in again.output

    stranger = tmp_path / "stranger"
    shutil.copytree(members[0], stranger)
    changed = json.loads((stranger / "card.json").read_text())
    changed["classes"] = ["light", "dark"]
    (stranger / "card.json").write_text(json.dumps(changed))
    command[2] = str(stranger)
    command[-1] = str(tmp_path / "refused")
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert "expected the same, in the same order" in refused.output

    command[2] = members[1]
    np.savez(tmp_path / "shades.npz", x_train=images[2:].astype(np.uint8), y_train=labels[2:])
    leaking = CliRunner().invoke(app, command)
    assert leaking.exit_code == 2
    assert "was trained on other images than shades's train split" in leaking.output

    begin = training.TrainSettings(weights=str(out))
    with pytest.raises(hm.BadSettings, match="is an ensemble; expected one of its members"):
        hm.train(opened, tmp_path / "more", settings=begin)


def test_images_are_mirrored_for_members_that_learned_them_so(tmp_path: Path) -> None:
    labels = np.arange(60) % 2
    images = np.broadcast_to((100 * labels[:, None, None, None]), (60, 8, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / "shades.npz", x_train=images, y_train=labels)
    data = hm.dataset(tmp_path / "shades.npz")
    settings = training.TrainSettings(
        epochs=1, network=training.NetworkSettings(width=0.25, blocks=[1])
    )
    hm.train(data, tmp_path / "one", settings=settings)
    card = training.ensemble_to_directory([str(tmp_path / "one")], data, tmp_path / "joint")
    assert card.parameters["views"] == ["plain", "mirrored"]
    alone = hm.read_card(tmp_path / "one").parameters["multiply_adds"]
    assert card.parameters["multiply_adds"] == 2 * alone


def test_the_more_accurate_shipped_model() -> None:
    split = hm.dataset("fashion-mnist-sample").split("test")
    right = {}
    for name in ("fashion-mnist", "fashion-mnist-accurate"):
        classifier = hm.load(hm.pretrained(name), 2, precision="float32")
        answers = [classifier.predict(images).labels for images, _ in split.batches(256)]
        right[name] = (np.concatenate(answers) == split.labels).mean()
        assert right[name] == pytest.approx(classifier.card.metrics["test_accuracy"], abs=5e-4)
    assert right["fashion-mnist-accurate"] >= 0.945 > right["fashion-mnist"]
    member = hm.read_card(hm.pretrained("fashion-mnist-accurate")).parameters["members"][0]
    assert member["sha256"] == hm.read_card(hm.pretrained()).files["model.keras"].sha256
