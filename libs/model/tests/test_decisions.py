"""What is decided for a training: when it ends before its schedule, and how large its steps are."""

import numpy as np
import pytest

from hemline_model import BadSettings
from hemline_model.training import TrainSettings
from hemline_model.training._checkpoint import Position
from hemline_model.training._early_stop import CoolDown, find_cool_down
from hemline_model.training._loop import Plan


def notes(*accuracies: float) -> list[dict[str, float]]:
    return [
        {"step": 10.0 * n, "elapsed_s": 1.0 * n, "validation_accuracy": accuracy}
        for n, accuracy in enumerate(accuracies, start=1)
    ]


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "steps": 1000,
        "learning_rate": 1.0,
        "warm_up": 0.1,
        "weight_decay": 0.0,
        "optimizer": "adamw",
        "label_smoothing": 0.0,
        "averaging": 0.9,
        "checkpoint_every_s": 60.0,
        "patience": 3,
    }
    return Plan(**{**values, **changes})


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ((), None),
        ((0.5, 0.6, 0.7, 0.8), None),
        ((0.5, 0.6, 0.6, 0.6), None),
        ((0.5, 0.6, 0.6, 0.5, 0.6), CoolDown(50, 60, 5.0)),
        # What comes after the decision does not change it.
        ((0.5, 0.6, 0.6, 0.5, 0.6, 0.9), CoolDown(50, 60, 5.0)),
        ((0.6, 0.5, 0.5, 0.7, 0.6, 0.6, 0.6), CoolDown(70, 84, 7.0)),
    ],
)
def test_three_epochs_without_a_better_one(
    accuracies: tuple[float, ...], expected: CoolDown | None
) -> None:
    assert find_cool_down(notes(*accuracies), 3, 1000) == expected


def test_no_early_end_when_the_schedule_is_sooner_or_nobody_asked() -> None:
    flat = notes(*[0.5] * 10)
    assert find_cool_down(flat, None, 1000) is None
    assert find_cool_down(flat, 3, 50) is None


def test_the_rate_falls_from_where_it_was_to_nothing() -> None:
    position = Position(step=50, elapsed_s=5.0, notes=notes(0.6, 0.6, 0.6, 0.6, 0.6))
    mine = plan()
    cooling = mine.cool_down(position)
    assert cooling == CoolDown(40, 50, 4.0)
    at_start = Position(step=40, elapsed_s=4.0)
    assert mine.rate(at_start, cooling) == mine.rate(at_start, None) > 0
    rates = [mine.rate(Position(step=step, elapsed_s=step / 10), cooling) for step in range(40, 51)]
    np.testing.assert_allclose(np.diff(rates), -rates[0] / 10)
    assert mine.done(Position(step=49), cooling) < 1
    assert mine.done(position, cooling) == 1


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        (TrainSettings(), 14),
        (TrainSettings(epochs=6), 5),
        (TrainSettings(budget_s=60), None),
        (TrainSettings(budget_s=60, patience=4), 4),
        (TrainSettings(patience=None), None),
    ],
)
def test_patience_by_default(settings: TrainSettings, epochs: int | None) -> None:
    assert settings.patience_epochs == epochs


def test_no_patience_at_all() -> None:
    with pytest.raises(BadSettings, match="patience is 0; expected a value from 1 to 100000"):
        TrainSettings(patience=0)


@pytest.mark.parametrize(
    ("images", "size"),
    [(60_000, 128), (1_920, 128), (1_919, 64), (500, 32), (300, 16), (40, 16), (9, 9)],
)
def test_a_small_data_set_has_small_batches(images: int, size: int) -> None:
    assert TrainSettings().images_per_step(images) == size
    assert TrainSettings(batch_size=20).images_per_step(images) == min(20, images)
