"""The batch statistics that a model in training is judged with."""

from collections.abc import Iterator

import numpy as np
import pytest

from hemline_model import InputContract, training
from hemline_model.training import _loop as loop_module
from hemline_model.training._checkpoint import Position
from hemline_model.training._keras import keras
from hemline_model.training._loop import Plan, run_plan
from hemline_model.training._statistics import settled

STEPS = 20


@pytest.fixture(autouse=True)
def short_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_STEPS_FOR_EACH", 1)


def network(**augment: object) -> object:
    keras.utils.set_random_seed(0)
    return training.build_network(
        InputContract(height=8, width=8, channels=1),
        2,
        mean=[100.0],
        variance=[6000.0],
        settings=training.NetworkSettings(width=0.5, blocks=(0,)),
        augment=training.AugmentSettings(**augment),
    )


def batches_from(step: int) -> Iterator[training.Batch]:
    while True:
        rng = np.random.default_rng(step)
        labels = np.arange(16) % 2
        images = rng.integers(0, 120, (16, 8, 8, 1)) + 100 * labels[:, None, None, None]
        yield images.astype(np.uint8), labels
        step += 1


def plan() -> Plan:
    return Plan(
        steps=STEPS,
        learning_rate=0.02,
        warm_up=0.1,
        weight_decay=0.0,
        optimizer="muon",
        label_smoothing=0.1,
        averaging=0.99,
        checkpoint_every_s=60.0,
    )


def test_an_average_of_weights_is_judged_with_statistics_of_its_own() -> None:
    model = network(flip=False, shift=0.0, erase=0.0)
    first = next(x for x in model.layers if isinstance(x, keras.layers.BatchNormalization))
    before = keras.Model(model.input, first.input)
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def look(_: Position) -> dict[str, float]:
        stream = batches_from(0)
        batches = [next(stream)[0] for _ in range(8)]
        means = [np.asarray(before(images)).mean(axis=(0, 1, 2)) for images in batches]
        seen.append((np.mean(means, axis=0), np.asarray(first.moving_mean).copy()))
        return {"validation_accuracy": 0.5}

    run_plan(model, plan(), batches_from, evaluate=look, evaluate_every=STEPS)
    ((expected, found),) = seen
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_to_look_at_a_training_changes_nothing() -> None:
    alone, watched = network(), network()
    run_plan(alone, plan(), batches_from)
    looks: list[Position] = []

    def look(position: Position) -> dict[str, float]:
        looks.append(position)
        return {"validation_accuracy": 0.5}

    run_plan(watched, plan(), batches_from, evaluate=look, evaluate_every=STEPS // 4)
    assert len(looks) == 4
    for one, other in zip(alone.variables, watched.variables, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-3, atol=1e-5)


def test_everything_is_put_back_even_after_a_failure() -> None:
    model = network()

    def state() -> list[np.ndarray]:
        return [np.asarray(variable).copy() for variable in model.non_trainable_variables]

    before = state()
    # The seeds of the augmentation among them.
    assert any(np.issubdtype(value.dtype, np.integer) for value in before)
    with pytest.raises(KeyboardInterrupt), settled(model, batches_from(5), 8):
        inside = state()
        raise KeyboardInterrupt
    assert all((one != two).any() for one, two in zip(before, inside, strict=True))
    for one, two in zip(before, state(), strict=True):
        np.testing.assert_array_equal(one, two)
