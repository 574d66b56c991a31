"""Training: networks of every shape, resuming, fine-tuning, export."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hemline_model as hm
from hemline_model import InputContract, training
from hemline_model.training import _export as export_module
from hemline_model.training._keras import keras
from hemline_model.training._normalization import BatchNormalization
from hemline_model.training._optimizer import make_optimizer

SMALL = training.NetworkSettings(width=0.5, blocks=(1,))


def tiny(contract: InputContract | None = None, classes: int = 3) -> hm.Dataset:
    """Images whose class is the third of the picture that is bright."""
    shape = contract or InputContract(height=8, width=9, channels=1)
    rng = np.random.default_rng(0)
    labels = np.arange(240) % classes
    images = rng.integers(0, 100, (240, *shape.shape), np.uint8)
    band = shape.width // classes
    for row, label in enumerate(labels):
        images[row, :, label * band : (label + 1) * band] += 120
    whole = hm.Split([f"image-{n}" for n in range(240)], labels.astype(np.int64), images)
    train = hm.Split(whole.ids[:200], whole.labels[:200], images[:200])
    rest = hm.Split(whole.ids[200:], whole.labels[200:], images[200:])
    names = [f"class-{n}" for n in range(classes)]
    return hm.Dataset("tiny", names, shape, {"train": train, "validation": rest, "test": rest})


def settings(**changes: object) -> training.TrainSettings:
    values: dict[str, object] = {
        "epochs": 6,
        "batch_size": 20,
        "network": SMALL,
        "augment": training.AugmentSettings(flip=False, erase=0.0),
    }
    return training.TrainSettings(**{**values, **changes})


@pytest.mark.parametrize(
    ("shape", "classes"),
    [((8, 8, 1), 2), ((28, 28, 1), 10), ((32, 32, 3), 10), ((96, 64, 3), 1000)],
)
def test_the_network_takes_any_shape(shape: tuple[int, int, int], classes: int) -> None:
    contract = InputContract(height=shape[0], width=shape[1], channels=shape[2])
    model = training.build_network(
        contract,
        classes,
        mean=[100.0] * shape[2],
        variance=[6000.0] * shape[2],
        settings=training.NetworkSettings(),
        augment=training.AugmentSettings(),
    )
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    assert training.predict_logits(model, images).shape == (3, classes)


def test_augmentation_only_happens_while_training() -> None:
    layer = training.Augment(seed=1)
    images = np.random.default_rng(0).integers(0, 256, (16, 12, 10, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(layer(images)), images)
    varied = np.asarray(layer(images, training=True))
    assert varied.shape == images.shape
    assert np.mean(varied != images) > 0.3
    assert varied.min() >= 0
    assert varied.max() <= 255


def test_shifting_repeats_the_edge() -> None:
    layer = training.Augment(flip=False, erase=0.0, shift=0.5)
    ramp = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None], (64, 10, 10, 1))
    varied = np.asarray(layer(ramp, training=True))
    steps = np.diff(varied[:, :, 0, 0], axis=1)
    assert set(np.unique(steps)) == {0.0, 1.0}
    assert np.ptp(varied[:, 5, 0, 0]) >= 8


def test_a_training_learns_and_is_written_with_its_card(tmp_path: Path) -> None:
    notes: list[dict[str, float]] = []
    out = tmp_path / "model"
    card = hm.train(tiny(), out, settings=settings(), on_note=notes.append)
    assert len(notes) == 6
    assert card.metrics["test_accuracy"] == 1.0
    assert card.classes == ["class-0", "class-1", "class-2"]
    assert not training.working_directory(out).exists()
    assert hm.test(out, tiny()).accuracy == 1.0
    assert hm.inspect(out) == card
    with pytest.raises(hm.BadSettings, match="exists already"):
        hm.train(tiny(), out, settings=settings())


def test_a_seed_repeats_a_training() -> None:
    first, again, other = (
        training.fit(tiny(), settings(epochs=1, seed=seed)).model.get_weights()
        for seed in (3, 3, 4)
    )
    # Not bit for bit: TensorFlow's threads add up in the order in which they finish.
    for one, two in zip(first, again, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-5)
    assert any(np.abs(one - two).max() > 1e-2 for one, two in zip(first, other, strict=True))


def test_a_stopped_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    straight = training.fit(tiny(), settings(epochs=2)).model
    steps = 0

    def count(step: int, loss: float) -> None:
        nonlocal steps
        steps = step

    with pytest.raises(hm.Stopped):
        training.fit(
            tiny(),
            settings(epochs=2),
            checkpoint_dir=tmp_path,
            on_step=count,
            should_stop=lambda: steps == 7,
        )
    assert steps == 7
    resumed = training.fit(tiny(), settings(epochs=2), checkpoint_dir=tmp_path)
    assert resumed.position.step == 20
    assert len(resumed.position.losses) == 20
    for one, other in zip(straight.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(hm.Stopped):
        training.fit(tiny(), settings(), checkpoint_dir=tmp_path, should_stop=lambda: True)
    with pytest.raises(hm.BadSettings, match="was written with other settings or data"):
        training.fit(tiny(), settings(seed=1), checkpoint_dir=tmp_path)
    (tmp_path / "checkpoint.npz").write_bytes(b"cut short")
    with pytest.raises(hm.BadSettings, match="is no checkpoint"):
        training.fit(tiny(), settings(), checkpoint_dir=tmp_path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("base") / "model"
    hm.train(tiny(), out, settings=settings())
    return out


def test_fine_tuning_takes_in_what_is_new(base: Path, tmp_path: Path) -> None:
    data = tiny().split("train")
    inverted = hm.Split(data.ids, data.labels, 255 - np.asarray(data.images))

    def batches_from(step: int) -> Iterator[training.Batch]:
        while True:
            rows = np.random.default_rng(step).integers(0, len(data), 10)
            images = np.concatenate([data.images[rows], inverted.images[rows]])
            yield images, np.concatenate([data.labels[rows]] * 2)
            step += 1

    wanted = training.FineTuneSettings(steps=80, learning_rate=3e-3)
    seen: list[int] = []
    model = training.fine_tune(
        base, batches_from, settings=wanted, on_step=lambda step, _: seen.append(step)
    )
    assert seen == list(range(1, 81))
    for split in (data, inverted):
        found = training.predict_logits(model, split.images).argmax(axis=1)
        assert (found == split.labels).mean() > 0.9
    seen.clear()
    with pytest.raises(hm.Stopped):
        training.fine_tune(
            base,
            batches_from,
            settings=wanted,
            checkpoint_dir=tmp_path,
            on_step=lambda step, _: seen.append(step),
            should_stop=lambda: len(seen) == 70,
        )
    again: list[int] = []
    training.fine_tune(
        base,
        batches_from,
        settings=wanted,
        checkpoint_dir=tmp_path,
        on_step=lambda step, _: again.append(step),
    )
    assert again == list(range(71, 81))


def test_the_exported_graph_answers_as_the_model(base: Path, tmp_path: Path) -> None:
    model = training.load_model(base)
    images = np.asarray(tiny().split("test").images)
    classifier = hm.load(base, precision="float32")
    np.testing.assert_allclose(
        classifier.logits(images), training.predict_logits(model, images), atol=1e-3
    )
    with pytest.raises(hm.ModelError, match="is not empty"):
        training.export(model, {"classes": ["a", "b", "c"]}, base)
    card = training.export(
        model, {"classes": ["a", "b", "c"], "parent": 3, "run_uid": "u"}, tmp_path / "next"
    )
    assert (card.parent, card.run_uid) == (3, "u")
    assert hm.load(tmp_path / "next").card == card


def test_an_export_that_answers_otherwise_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = training.load_model(base)
    samples = np.asarray(tiny().split("test").images)
    honest = training.predict_logits(model, samples)
    scale = max(1.0, float(np.abs(honest).max()))
    for error, accepted in ((0.5e-4, True), (2e-4, False)):
        logits = honest + np.float32(error * scale)
        monkeypatch.setattr(export_module, "predict_logits", lambda *_, logits=logits: logits)
        out = tmp_path / f"model-{error}"
        if accepted:
            training.export(model, {"classes": ["a", "b", "c"]}, out, samples=samples)
            continue
        with pytest.raises(hm.ModelError, match=r"differ from the model's by .*at most 1e-04"):
            training.export(model, {"classes": ["a", "b", "c"]}, out, samples=samples)
        assert not out.exists()
        assert [path.name for path in tmp_path.iterdir()] == ["model-5e-05"]


def test_the_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4000, 5)).astype(np.float32) * 2
    odds = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(5, p=row / row.sum()) for row in odds.astype(np.float64)])
    temperature = training.fit_temperature(true * 3, labels)
    assert temperature == pytest.approx(3, rel=0.1)
    before = training.calibration_error(true * 3, labels)
    after = training.calibration_error(true * 3, labels, temperature)
    assert after < 0.03 < before


@pytest.mark.parametrize(("images", "largest"), [(1, 0.91), (5, 0.96), (9, 0.97)])
def test_a_few_images_that_are_all_right_do_not_make_a_model_sure(
    images: int, largest: float
) -> None:
    logits = np.zeros((images, 10), np.float32)
    logits[:, 0] = 4
    right = np.zeros(images, np.int64)
    temperature = training.fit_temperature(logits, right)
    confidence = 1 / (1 + 9 * np.exp(-4 / temperature))
    # 0.858 as it comes from the network.
    assert 0.858 < confidence < largest
    assert training.calibration_error(logits, right, temperature) > 0.03


@pytest.mark.parametrize("scale", [0.5, 1, 3])
def test_thousands_of_images_outweigh_what_was_thought_before(scale: float) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4000, 5)) * 2
    labels = (true + rng.gumbel(size=true.shape)).argmax(axis=1)
    logits = (true * scale).astype(np.float32)
    tried = np.exp(np.linspace(-1.5, 1.5, 3001))
    losses = []
    for temperature in tried:
        scaled = logits / temperature
        losses.append((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(4000), labels]).sum())
    likeliest = tried[int(np.argmin(losses))]
    assert training.fit_temperature(logits, labels) == pytest.approx(likeliest, rel=0.005)


def test_rare_classes_weigh_more() -> None:
    assert training.class_weights(np.array([0, 0, 1, 1]), 2) is None
    weights = training.class_weights(np.array([0] * 90 + [1] * 10), 2)
    assert weights is not None
    assert weights[1] / weights[0] == pytest.approx(3)
    assert (weights[0] * 90 + weights[1] * 10) / 100 == pytest.approx(1)


def test_the_learning_rate_warms_up_and_cools_down() -> None:
    rates = [training.learning_rate_at(p, 1.0, 0.2) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
    np.testing.assert_allclose(rates, [0.0, 0.5, 1.0, 0.5, 0.0], atol=1e-9)


def test_the_fused_normalisation_is_kerass_own() -> None:
    theirs, ours = keras.layers.BatchNormalization(), BatchNormalization()
    pixels = np.random.default_rng(0).normal(3, 2, (40, 6, 5, 8)).astype(np.float32)
    for _ in range(3):
        expected, received = theirs(pixels, training=True), ours(pixels, training=True)
    np.testing.assert_allclose(np.asarray(received), np.asarray(expected), atol=1e-4)
    for one, other in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        # The kernel's variance is that of a sample: larger by 1 in 1,199 here.
        np.testing.assert_allclose(other, one, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(np.asarray(ours(pixels)), np.asarray(theirs(pixels)), rtol=2e-3)


def test_convolutions_take_orthogonal_steps() -> None:
    kernel = keras.Variable(np.zeros((3, 3, 4, 8), np.float32))
    matrix = keras.Variable(np.zeros((8, 5), np.float32))
    optimizer = make_optimizer("muon", 0.1, 0.0)
    gradients = [
        np.random.default_rng(0).normal(size=variable.shape).astype(np.float32) * scale
        for variable, scale in ((kernel, 1e-3), (matrix, 1.0))
    ]
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], [kernel, matrix])
    step = np.linalg.svd(np.asarray(kernel).reshape(36, 8), compute_uv=False)
    # Five Newton-Schulz iterations bring all singular values near one another, whatever the gradient.
    assert step.max() < 2 * step.min()
    np.testing.assert_allclose(np.abs(np.asarray(matrix)), 0.025, rtol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_a_training_computes_in_does_not_show_in_its_model(precision: str) -> None:
    model = training.fit(tiny(), settings(epochs=4, precision=precision)).model
    assert {layer.dtype_policy.name for layer in model.layers} <= {"float32", "uint8"}
    assert keras.config.dtype_policy().name == "float32"
    test = tiny().split("test")
    found = training.predict_logits(model, test.images).argmax(axis=1)
    assert (found == test.labels).mean() > 0.9


def test_adamw_can_be_had() -> None:
    model = training.fit(tiny(), settings(optimizer="adamw", learning_rate=2.5e-3)).model
    test = tiny().split("test")
    found = training.predict_logits(model, test.images).argmax(axis=1)
    assert (found == test.labels).mean() > 0.9
