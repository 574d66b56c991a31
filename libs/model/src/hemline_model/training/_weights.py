"""Beginning from a model that was trained before."""

from dataclasses import dataclass
from typing import Any

from hemline_model._card import Card, read_card
from hemline_model._config import settings_from
from hemline_model._data import Dataset
from hemline_model._errors import BadSettings
from hemline_model._pretrained import model_directory
from hemline_model.training._builder import flatten_layers
from hemline_model.training._export import load_model
from hemline_model.training._keras import keras
from hemline_model.training._settings import NetworkSettings

__all__ = ["Base", "load_base"]


@dataclass(frozen=True, slots=True)
class Base:
    """A trained model to begin from."""

    source: str
    card: Card
    model: Any

    def normalization(self) -> tuple[list[float], list[float]] | None:
        """Mean and variance (of 0 to 255 values, one for each channel) that it expects, if it says."""
        for layer in flatten_layers(self.model):
            if isinstance(layer, keras.layers.Rescaling) and isinstance(layer.scale, list):
                pairs = list(zip(layer.scale, layer.offset, strict=True))
                return [-offset / scale for scale, offset in pairs], [
                    1 / scale**2 for scale, _ in pairs
                ]
        return None

    def network(self, wanted: NetworkSettings) -> NetworkSettings:
        """The shape of its network, unless another one than the usual was asked for."""
        given = self.card.parameters.get("network")
        if wanted != NetworkSettings() or not isinstance(given, dict):
            return wanted
        return settings_from(NetworkSettings, given, f"the card of {self.source}")

    def give_weights(self, model: Any, data: Dataset) -> None:
        """Put its weights into `model`; the last layer keeps its own where the classes differ.

        Raises:
            BadSettings: the networks differ in more than their last layer.
        """
        if "members" in self.card.parameters:
            raise BadSettings(f"{self.source} is an ensemble; expected one of its members")
        mine = [layer for layer in flatten_layers(self.model) if layer.weights]
        theirs = [layer for layer in flatten_layers(model) if layer.weights]
        if len(mine) != len(theirs):
            raise BadSettings(
                f"the network of {self.source} has {len(mine)} layers with weights and the one to "
                f"train {len(theirs)}; expected the same network: leave out `network`"
            )
        for number, (source, target) in enumerate(zip(mine, theirs, strict=True), start=1):
            have, need = ([tuple(w.shape) for w in layer.weights] for layer in (source, target))
            last = number == len(mine)
            if last and (have != need or self.card.classes != data.classes):
                return
            if have != need:
                raise BadSettings(
                    f"layer {number} ({target.name}) has weights of {need[0]} here and {have[0]} in "
                    f"{self.source}, which takes {self.card.input} images; expected the same network "
                    "and number of channels"
                )
            target.set_weights(source.get_weights())


def load_base(weights: str) -> Base:
    """Load the model directory, or shipped model, that `weights` names.

    Raises:
        BadModel: there is none, or it is incomplete or altered.
    """
    directory = model_directory(weights)
    return Base(weights, read_card(directory), load_model(directory))
