"""What can be set about the network, its augmentation and its training."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from hemline_model._errors import BadSettings

__all__ = [
    "AugmentSettings",
    "FineTuneSettings",
    "NetworkSettings",
    "Optimizer",
    "Precision",
    "TrainSettings",
]

Optimizer = Literal["muon", "adamw"]
Precision = Literal["auto", "float32", "bfloat16"]

_EPOCHS, _EPOCHS_IN_A_BUDGET = 40, 1000
# What NumPy's generators, which Keras seeds too, take.
_MAX_SEED = 2**32 - 1
_BATCH_SIZES, _STEPS_AN_EPOCH = (128, 64, 32, 16), 15


def _between(settings: Any, low: float, high: float, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not low <= value <= high:
            raise BadSettings(f"{name} is {value}; expected a value from {low:.10g} to {high:.10g}")


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Shape of the network. The defaults suit small images and up to a few tens of classes."""

    width: float = 1.0
    """Factor on the number of channels of every layer; cost grows with its square."""

    blocks: tuple[int, ...] = (1, 1)
    """Residual blocks (two 3x3 convolutions each) per stage; each stage halves the picture."""

    def __post_init__(self) -> None:
        _between(self, 0.1, 16, "width")
        if not self.blocks or not all(0 <= number <= 16 for number in self.blocks):
            raise BadSettings(f"blocks is {self.blocks}; expected 0 to 16 blocks for each stage")


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """How training images are varied, inside the model and only while it trains."""

    flip: bool | None = None
    """Mirror half of the images left to right. Wrong for letters and digits; None: mirror, unless
    the data set is known to hold those (MNIST, EMNIST)."""

    shift: float = 0.08
    """Largest shift, as a fraction of each side; edges are repeated outwards."""

    erase: float = 0.5
    """Largest side of the rectangle painted over in half of the images, as a fraction of theirs."""

    def __post_init__(self) -> None:
        _between(self, 0, 0.9, "shift", "erase")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How a network is trained from nothing."""

    epochs: int | None = None
    """Passes over the train split, when no time budget ends it before. None: 40, and with a budget as
    many as fit into it, up to 1,000."""

    budget_s: float | None = None
    """Seconds of training. The learning rate follows the time spent, so the result is as good as
    it gets in that time. None: train all epochs."""

    patience: int | Literal["auto"] | None = "auto"
    """Epochs without a better validation accuracy after which the training ends early: the learning
    rate falls to nothing over a fifth of the steps done, and that is it. "auto": a third of `epochs`
    (at least 5), and never when there is a time budget. None: never."""

    weights: str | None = None
    """Model directory, or name of a shipped model, to begin from instead of from nothing. Its last
    layer is used only where the classes are the same."""

    batch_size: int | Literal["auto"] = "auto"
    """Images per step. "auto": 128, or the half, quarter or eighth of that with which a small data set
    makes at least 15 steps an epoch: with the first 250, 500 and 1,000 images of Fashion-MNIST 80.8,
    82.8 and 84.5 % of 3,000 test images were right, and 74.3, 80.7 and 84.3 % with 128 (one seed)."""

    optimizer: Optimizer = "muon"
    """"muon" takes orthogonalised steps in the convolutions and AdamW's elsewhere; after two epochs
    of Fashion-MNIST in batches of 256 it was 1.4 to 1.7 points ahead of "adamw" in batches of 128
    (one seed, three rates for the one and one for the other)."""

    learning_rate: float = 0.01
    """Peak of the schedule: linear warm-up, then a cosine down to nothing. About a quarter of it is
    right for "adamw"."""

    warm_up: float = 0.1
    """Fraction of the training spent warming up."""

    weight_decay: float = 0.05
    """Decoupled weight decay."""

    precision: Precision = "auto"
    """What convolutions are computed in while training; weights and the finished model are float32.
    "auto": bfloat16 on a processor with instructions for it, where a step takes 0.7 of the time."""

    label_smoothing: float = 0.1
    """Share of the target spread over all classes."""

    averaging: float = 0.998
    """Momentum of the moving average of the weights, which is what is kept in the end."""

    seed: int = 0
    """Of the first weights, the order of samples and the augmentation. The same one repeats a training
    up to rounding, unless there is a time budget: how many steps fit into that is never the same."""

    checkpoint_every_s: float = 60.0
    """Seconds between checkpoints, when a place for them is given."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        if self.epochs is not None:
            _between(self, 1, 100_000, "epochs")
        if isinstance(self.batch_size, int):
            _between(self, 1, 65_536, "batch_size")
        _between(self, 0, 10, "learning_rate", "weight_decay")
        _between(self, 0, 0.99, "warm_up", "label_smoothing")
        _between(self, 0, 0.99999, "averaging")
        if self.budget_s is not None:
            _between(self, 1, 31_536_000, "budget_s")
        if isinstance(self.patience, int):
            _between(self, 1, 100_000, "patience")
        _between(self, 0, _MAX_SEED, "seed")

    def images_per_step(self, num_images: int) -> int:
        """`batch_size` as a number, for a train split of `num_images`."""
        if self.batch_size != "auto":
            return min(self.batch_size, num_images)
        fitting = (size for size in _BATCH_SIZES if num_images >= size * _STEPS_AN_EPOCH)
        return min(next(fitting, _BATCH_SIZES[-1]), num_images)

    @property
    def most_epochs(self) -> int:
        """`epochs` as a number."""
        if self.epochs is not None:
            return self.epochs
        return _EPOCHS if self.budget_s is None else _EPOCHS_IN_A_BUDGET

    @property
    def patience_epochs(self) -> int | None:
        """`patience` as a number of epochs."""
        if self.patience != "auto":
            return self.patience
        return None if self.budget_s is not None else max(5, math.ceil(self.most_epochs / 3))


@dataclass(frozen=True, slots=True)
class FineTuneSettings:
    """How a trained model is adapted to newer samples in less than a minute of two cores.

    The steps and rates were chosen on Fashion-MNIST with inverted images as the drift, in batches of
    128, half of each new and half old: rates from 8e-4 to 3e-3 ended within two points of one
    another. `python bench/model.py --quick --fine-tune` measures what they do for the shipped model.
    """

    steps: int = 200
    """Batches to learn from, of whatever size they come in (128 is what was measured)."""

    learning_rate: float = 1.5e-3
    """Peak of the schedule: a short linear warm-up, then a cosine down to nothing."""

    warm_up: float = 0.05
    """Fraction of the steps spent warming up."""

    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW."""

    label_smoothing: float = 0.05
    """Share of the target spread over all classes."""

    averaging: float = 0.98
    """Momentum of the moving average of the weights, which is what is kept in the end."""

    checkpoint_every_s: float = 10.0
    """Seconds between checkpoints, when a place for them is given."""

    seed: int = 0
    """Of the augmentation."""

    def __post_init__(self) -> None:
        _between(self, 1, 1_000_000, "steps")
        _between(self, 0, 10, "learning_rate", "weight_decay")
        _between(self, 0, 0.99, "warm_up", "label_smoothing")
        _between(self, 0, 0.99999, "averaging")
        _between(self, 0, _MAX_SEED, "seed")
