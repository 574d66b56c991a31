"""The training loop that training from nothing and fine-tuning share."""

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemline_model._decode import ImageArray
from hemline_model._errors import BadDataset, Stopped
from hemline_model.training._average import WeightAverage
from hemline_model.training._checkpoint import Checkpoint, Position
from hemline_model.training._early_stop import CoolDown, find_cool_down
from hemline_model.training._keras import keras
from hemline_model.training._optimizer import make_optimizer
from hemline_model.training._settings import Optimizer
from hemline_model.training._statistics import settle, settled

__all__ = ["Batch", "Plan", "learning_rate_at", "run_plan"]

ops = keras.ops

Labels = npt.NDArray[np.int64]
Batch = tuple[ImageArray, Labels] | tuple[ImageArray, Labels, npt.NDArray[np.float32]]

_SETTLING_BATCHES = 40
_SETTLING_BATCHES_TO_LOOK = 8
# One of them takes as long as one to one and a half steps of training: at most 3 % of an epoch.
_STEPS_FOR_EACH = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """How many steps, or how much time, with what learning rate and regularisation."""

    steps: int
    learning_rate: float
    warm_up: float
    weight_decay: float
    optimizer: Optimizer
    label_smoothing: float
    averaging: float
    checkpoint_every_s: float
    budget_s: float | None = None
    patience: int | None = None
    """Evaluations without a better validation accuracy before the training ends early."""

    identity: str = ""
    """Names the data and anything else that a resumed run must share."""

    def progress(self, step: int, elapsed_s: float) -> float:
        """How far the schedule is, from 0 to 1: by steps or by time, whichever is further."""
        by_steps = step / self.steps
        return by_steps if self.budget_s is None else max(by_steps, elapsed_s / self.budget_s)

    def done(self, position: Position, cooling: CoolDown | None) -> float:
        """How much of the training is done, from 0 to 1, an early end included."""
        progress = self.progress(position.step, position.elapsed_s)
        return progress if cooling is None else max(progress, position.step / cooling.end)

    def rate(self, position: Position, cooling: CoolDown | None) -> float:
        """The learning rate of the next step."""
        if cooling is None:
            progress = self.progress(position.step, position.elapsed_s)
        else:
            progress = self.progress(cooling.start, cooling.elapsed_s)
        # The first step must not be lost to a rate of zero, so it takes that of its own end.
        rate = learning_rate_at(max(progress, 1 / self.steps), self.learning_rate, self.warm_up)
        return rate if cooling is None else rate * cooling.remaining(position.step)

    def cool_down(self, position: Position) -> CoolDown | None:
        """The early end of the training, once it has stopped getting better."""
        return find_cool_down(position.notes, self.patience, self.steps)

    def fingerprint(self) -> str:
        """Short hash of everything that decides where the run goes."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def learning_rate_at(progress: float, peak: float, warm_up: float) -> float:
    """Linear warm-up to `peak`, then a cosine down to 0; `progress` and `warm_up` from 0 to 1."""
    if progress < warm_up:
        return peak * (progress / warm_up)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


def run_plan(
    model: Any,
    plan: Plan,
    batches_from: Callable[[int], Iterator[Batch]],
    *,
    checkpoint_dir: Path | None = None,
    on_step: Callable[[int, float], None] | None = None,
    on_progress: Callable[[float], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    evaluate: Callable[[Position], dict[str, float]] | None = None,
    evaluate_every: int = 1,
) -> Position:
    """Train `model` in place by `plan` and leave the averaged weights in it.

    `batches_from(step)` yields the batches from that step on; called again with the same step it
    must yield the same ones, so that a resumed run repeats nothing and skips nothing.
    `evaluate(position)`, called with the averaged weights in the model whenever `evaluate_every`
    steps are done, returns what is to be noted; `plan.patience` looks at its validation accuracy.
    The batch statistics are measured for those weights then, on one batch for every 50 of those
    steps and at most 8; with fewer than 50 they stay those of the training, lest it take longer.
    `on_progress` is told after each step how much of the training is done, from 0 to 1.

    Raises:
        Stopped: `should_stop` said so; a checkpoint was written first, when there is a place for it.
        BadSettings: the checkpoint found belongs to another plan.
        BadDataset: the batches ran out.
    """
    optimizer = _compile(model, plan)
    average = WeightAverage(model, plan.averaging)
    checkpoint = Checkpoint(checkpoint_dir, plan.fingerprint()) if checkpoint_dir else None
    position = checkpoint.restore(model, optimizer, average) if checkpoint else Position()
    batches = batches_from(position.step)
    begun = time.monotonic() - position.elapsed_s
    saved_at = time.monotonic()
    cooling = plan.cool_down(position)
    while plan.done(position, cooling) < 1:
        if should_stop is not None and should_stop():
            if checkpoint:
                checkpoint.write(position, model, optimizer, average)
            raise Stopped(f"training was stopped after step {position.step:,}; it can be resumed")
        optimizer.learning_rate.assign(plan.rate(position, cooling))
        batch = next(batches, None)
        if batch is None:
            raise BadDataset(
                f"the batches ended after step {position.step:,}; expected {plan.steps:,} steps"
            )
        loss = float(np.ravel(model.train_on_batch(*batch))[0])
        position.step += 1
        position.elapsed_s = time.monotonic() - begun
        position.losses.append(loss)
        average.update(position.step)
        if on_step is not None:
            on_step(position.step, loss)
        if evaluate is not None and position.step % evaluate_every == 0:
            settling = min(_SETTLING_BATCHES_TO_LOOK, evaluate_every // _STEPS_FOR_EACH)
            with average.installed(), settled(model, batches_from(0), settling):
                position.notes.append(evaluate(position))
            cooling = plan.cool_down(position)
        if on_progress is not None:
            on_progress(min(1.0, plan.done(position, cooling)))
        if checkpoint and time.monotonic() - saved_at >= plan.checkpoint_every_s:
            checkpoint.write(position, model, optimizer, average)
            saved_at = time.monotonic()
    average.install()
    settle(model, batches_from(0), _SETTLING_BATCHES)
    return position


def _compile(model: Any, plan: Plan) -> Any:
    optimizer = make_optimizer(plan.optimizer, plan.learning_rate, plan.weight_decay)
    num_classes = model.output_shape[-1]
    smoothing = plan.label_smoothing

    def loss(labels: Any, logits: Any) -> Any:
        targets = ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), num_classes)
        targets = targets * (1 - smoothing) + smoothing / num_classes
        return -ops.sum(targets * ops.log_softmax(logits), axis=-1)

    # XLA on a CPU trains one and a half times slower here than TensorFlow's own kernels.
    jit = False if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(optimizer=optimizer, loss=loss, jit_compile=jit)
    optimizer.build(model.trainable_variables)
    return optimizer
