"""Several trained models as one that is right more often, and costs as much as all of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hemline_model._card import Card, read_card
from hemline_model._data import Dataset
from hemline_model._errors import BadSettings
from hemline_model._pretrained import model_directory
from hemline_model.training._builder import flatten_layers
from hemline_model.training._export import load_model
from hemline_model.training._fit import fingerprint_of
from hemline_model.training._keras import keras
from hemline_model.training._layers import Augment, MeanLogProbability, Mirror
from hemline_model.training._network import count_multiply_adds
from hemline_model.training._run import beside, check_out_dir, publish

__all__ = ["build_ensemble", "ensemble_to_directory"]


def build_ensemble(members: Sequence[Any], *, views: Sequence[str] = ("plain",)) -> Any:
    """One network that asks every member and answers with the mean of their log-probabilities.

    Args:
        members: Keras models of the same input and the same classes.
        views: how each member sees an image: "plain", "mirrored" left to right, or both, which
            helps where the members learned from mirrored images too.

    Raises:
        BadSettings: no members, members that do not fit together, no views or unknown ones.
    """
    if not members:
        raise BadSettings("an ensemble of no models; expected one or more")
    if not views or set(views) - {"plain", "mirrored"}:
        raise BadSettings(f"the views are {list(views)}; expected plain, mirrored or both")
    shapes = {(model.input_shape, model.output_shape) for model in members}
    if len(shapes) > 1:
        told = " and ".join(f"{taken} to {given}" for taken, given in sorted(shapes, key=str))
        raise BadSettings(f"the members go from {told}; expected the same of all")
    images = keras.Input(members[0].input_shape[1:], dtype="uint8", name="images")
    seen = [Mirror()(images) if view == "mirrored" else images for view in views]
    for number, member in enumerate(members):
        member.name = f"member_{number}"
    answers = [member(view) for member in members for view in seen]
    logits = MeanLogProbability(name="logits", dtype="float32")(answers)
    return keras.Model(images, logits, name="hemline_ensemble")


def ensemble_to_directory(
    members: Sequence[str], data: Dataset, out_dir: Path, *, command: str | None = None
) -> Card:
    """Join model directories, or shipped models by name, into a model directory of its own.

    Members are asked about the mirrored image as well where all of them were trained with mirrored
    ones. The temperature is fitted on the validation split, and the test split is looked at once,
    as after a training. `command` is what the card is to say that it was made by.

    Raises:
        BadSettings: `out_dir` holds something already, or the members do not fit together or to the
            data, or learned from other images than its train split.
        BadModel: a member is no complete model directory.
    """
    check_out_dir(out_dir)
    directories = [model_directory(member) for member in members]
    cards = [read_card(directory) for directory in directories]
    for member, card in zip(members, cards, strict=True):
        if (card.classes, card.input) != (list(data.classes), data.input):
            raise BadSettings(
                f"{member} names {len(card.classes)} classes on {card.input} images and {data.name} has "
                f"{len(data.classes)} on {data.input}; expected the same, in the same order"
            )
        seen = card.data.get("fingerprint", {}).get("train")
        if seen is not None and seen != fingerprint_of(data.split("train")):
            raise BadSettings(
                f"{member} was trained on other images than {data.name}'s train split, so that it may have "
                "learned what it would be judged by; expected the data set it was trained on"
            )
    models = [load_model(directory) for directory in directories]
    mirrored = all(_learned_mirrored(model) for model in models)
    views = ("plain", "mirrored") if mirrored else ("plain",)
    network = build_ensemble(models, views=views)
    parameters = {
        "members": [
            {"name": directory.resolve().name, "sha256": card.files["model.keras"].sha256}
            for directory, card in zip(directories, cards, strict=True)
        ],
        "views": list(views),
        "num_parameters": int(network.count_params()),
        "multiply_adds": len(views)
        * sum(
            card.parameters.get("multiply_adds", count_multiply_adds(model))
            for card, model in zip(cards, models, strict=True)
        ),
        **({"command": command} if command else {}),
    }
    work = beside(out_dir, ".{}.ensemble")
    return publish(network, data, parameters, out_dir, work=work)


def _learned_mirrored(model: Any) -> bool:
    # Not the card's word for it: a network of a user's own need not vary its images.
    return any(isinstance(layer, Augment) and layer.flip for layer in flatten_layers(model))
