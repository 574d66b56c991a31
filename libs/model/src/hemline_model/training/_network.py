"""The network: a compact residual CNN for images from 8 x 8 to some hundreds of pixels a side."""

import math
from collections.abc import Sequence
from typing import Any

from hemline_model._contract import InputContract
from hemline_model.training._builder import flatten_layers
from hemline_model.training._keras import keras
from hemline_model.training._layers import Augment
from hemline_model.training._normalization import BatchNormalization
from hemline_model.training._settings import AugmentSettings, NetworkSettings

__all__ = ["build_network", "count_multiply_adds"]

layers = keras.layers

_STEM, _STAGES = 32, (32, 80, 160, 320)
_WORKING_SIZE = 20
# Short enough that the statistics settle within the few hundred steps of a fine-tuning.
_BN_MOMENTUM = 0.95


def build_network(
    contract: InputContract,
    num_classes: int,
    *,
    mean: Sequence[float],
    variance: Sequence[float],
    settings: NetworkSettings,
    augment: AugmentSettings,
    seed: int = 0,
) -> Any:
    """Build the network for uint8 images of `contract`; it answers with `num_classes` logits.

    A pooling stem brings the picture to at most 20 pixels on its shorter side, where convolutions
    are dense enough to use a processor well (pooling before normalising saves a third of the stem's
    time; a strided stem would save more and cost a point of accuracy); residual stages of 3x3
    convolutions follow, each at half the size and about twice the channels of the one before; averages and
    maxima over the picture are joined for the classifier. `mean` and `variance` (of 0 to 255
    values, one for each channel) normalise the input inside the model.
    """
    inputs = keras.Input(contract.shape, dtype="uint8", name="images")
    x = Augment(
        flip=augment.flip is not False, shift=augment.shift, erase=augment.erase, seed=seed
    )(inputs)
    deviation = [math.sqrt(value) for value in variance]
    x = layers.Rescaling(
        [1 / value for value in deviation],
        [-middle / value for middle, value in zip(mean, deviation, strict=True)],
    )(x)
    shorter = min(contract.height, contract.width)
    halvings = max(0, math.ceil(math.log2(shorter / _WORKING_SIZE)))
    width = _channels(_STEM, settings)
    for index in range(halvings or 1):
        channels = max(16, width >> (max(halvings, 1) - 1 - index))
        x = _convolve(x, channels, pool=bool(halvings))
    for stage, blocks in enumerate(settings.blocks):
        channels = _channels(_STAGES[min(stage, len(_STAGES) - 1)], settings)
        if stage:
            x = _convolve(x, channels, strides=2)
        elif channels != width:
            x = _convolve(x, channels)
        for _ in range(blocks):
            x = _residual(x, channels)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    logits = layers.Dense(num_classes, name="logits", dtype="float32")(x)
    return keras.Model(inputs, logits, name="hemline")


def count_multiply_adds(model: Any) -> int:
    """Multiply-adds of the ordinary convolutions and dense layers for one image."""
    total = 0
    for layer in flatten_layers(model):
        if isinstance(layer, layers.Conv2D):
            _, height, width, _ = layer.output.shape
            total += height * width * math.prod(layer.kernel.shape)
        elif isinstance(layer, layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total


def _channels(base: int, settings: NetworkSettings) -> int:
    # Multiples of 16 fill the vector registers of every processor this is served on.
    return max(16, 16 * round(base * settings.width / 16))


def _convolve(
    x: Any, channels: int, *, strides: int = 1, pool: bool = False, activate: bool = True
) -> Any:
    x = layers.Conv2D(channels, 3, strides=strides, padding="same", use_bias=False)(x)
    if pool:
        x = layers.MaxPooling2D(2, padding="same")(x)
    x = BatchNormalization(momentum=_BN_MOMENTUM)(x)
    return layers.ReLU()(x) if activate else x


def _residual(x: Any, channels: int) -> Any:
    y = _convolve(_convolve(x, channels), channels, activate=False)
    return layers.ReLU()(layers.Add()([x, y]))
