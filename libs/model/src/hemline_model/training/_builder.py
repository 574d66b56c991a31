"""A network that somebody else built: what it must be, checked before hours are spent on it."""

from typing import Any

from hemline_model._data import Dataset
from hemline_model._errors import BadSettings
from hemline_model.training._keras import keras

__all__ = ["check_network", "flatten_layers"]


def check_network(model: Any, data: Dataset) -> None:
    """Check that a network fits a data set and can be saved.

    Raises:
        BadSettings: it is no functional or Sequential model, has another input or output than the
            data needs, answers with probabilities, or cannot be loaded without running its code.
    """
    if not isinstance(model, keras.Model):
        raise BadSettings(f"the builder returned a {type(model).__name__}; expected a keras.Model")
    try:
        taken, given = model.input_shape, model.output_shape
    except (AttributeError, ValueError) as error:
        raise BadSettings(
            f"the builder returned a {type(model).__name__} of unknown shape; expected a functional "
            "or Sequential model that begins with keras.Input"
        ) from error
    if taken != (None, *data.input.shape):
        raise BadSettings(
            f"the network takes {taken}; expected (None, {', '.join(map(str, data.input.shape))}): "
            "use data.input.shape"
        )
    if given != (None, len(data.classes)):
        raise BadSettings(
            f"the network answers with {given}; expected (None, {len(data.classes)}), one logit for "
            "each class: use len(data.classes)"
        )
    last = flatten_layers(model)[-1]
    softmax = isinstance(last, keras.layers.Softmax)
    if softmax or getattr(last, "activation", None) is keras.activations.softmax:
        raise BadSettings(
            f"the network ends in a softmax ({last.name}); expected logits: leave it out, the "
            "classifier applies it with the fitted temperature"
        )
    try:
        keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(model), safe_mode=True
        )
    except Exception as error:  # Keras and a user's own layers raise whatever they like
        reason = str(error).strip().split("\n", 1)[0][:200]
        raise BadSettings(
            "the network cannot be saved and loaded again without running code from the file; "
            f"expected no Lambda layers, and own layers with "
            f"@keras.saving.register_keras_serializable(): {reason}"
        ) from error


def flatten_layers(model: Any) -> list[Any]:
    """The layers of a model in order, those of models inside it in their place."""
    found: list[Any] = []
    for layer in model.layers:
        found += flatten_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return found
