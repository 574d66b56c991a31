"""Worked example: a network of your own.

    cd libs/model/examples
    hemline train fashion-mnist-sample --out mine --builder own_network:build --epochs 3

`build` takes the data set and the settings and returns an untrained functional or Sequential model: uint8 images of
`data.input.shape` in, one logit for each of `data.classes` out. Normalisation belongs inside it.
"""

from typing import Any

import keras

import hemline_model as hm
from hemline_model.training import TrainSettings

__all__ = ["build"]


def build(data: hm.Dataset, settings: TrainSettings) -> Any:
    """Three convolutions and a classifier."""
    layers = keras.layers
    inputs = keras.Input(data.input.shape, dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    for channels in (16, 32, 64):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(layers.MaxPooling2D(2, padding="same")(x)))
    return keras.Model(inputs, layers.Dense(len(data.classes))(layers.GlobalAveragePooling2D()(x)))
