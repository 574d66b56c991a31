"""Adapting a trained model to newer samples."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hemline_model._card import read_card
from hemline_model.training._export import load_model
from hemline_model.training._loop import Batch, Plan, run_plan
from hemline_model.training._settings import FineTuneSettings

__all__ = ["fine_tune"]


def fine_tune(
    base_dir: Path,
    batches_from: Callable[[int], Iterator[Batch]],
    *,
    settings: FineTuneSettings | None = None,
    checkpoint_dir: Path | None = None,
    on_step: Callable[[int, float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Any:
    """Fine-tune the model in `base_dir` and return it; the directory itself is not touched.

    `batches_from(step)` yields (uint8 images, int64 labels) batches from that step on, the same
    ones whenever it is called with the same step: half new samples and half old ones heal a drift
    without losing the past. With a `checkpoint_dir`, a run that was killed resumes where it was.

    Raises:
        Stopped: `should_stop` returned True; asked before each step.
        BadModel: `base_dir` is no complete model directory.
        BadSettings: the checkpoint belongs to another base model or other settings.
    """
    chosen = settings or FineTuneSettings()
    base = read_card(base_dir).files["model.keras"].sha256
    model = load_model(base_dir)
    plan = Plan(
        steps=chosen.steps,
        learning_rate=chosen.learning_rate,
        warm_up=chosen.warm_up,
        weight_decay=chosen.weight_decay,
        optimizer="adamw",
        label_smoothing=chosen.label_smoothing,
        averaging=chosen.averaging,
        checkpoint_every_s=chosen.checkpoint_every_s,
        identity=hashlib.sha256(f"{base} {chosen.seed}".encode()).hexdigest(),
    )
    run_plan(
        model,
        plan,
        batches_from,
        checkpoint_dir=checkpoint_dir,
        on_step=on_step,
        should_stop=should_stop,
    )
    return model
