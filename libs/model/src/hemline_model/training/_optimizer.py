"""The optimizers: AdamW, and Muon for convolutions."""

from typing import Any

from hemline_model.training._keras import keras
from hemline_model.training._settings import Optimizer

__all__ = ["ConvolutionMuon", "make_optimizer"]

ops = keras.ops

# AdamW is at its best at a quarter of the rate that suits orthogonalised steps.
_ADAM_SHARE = 0.25
_MOMENTUM = 0.9


def make_optimizer(kind: Optimizer, learning_rate: float, weight_decay: float) -> Any:
    """The optimizer of that kind; scales, offsets and biases are not decayed."""
    if kind == "muon":
        optimizer = ConvolutionMuon(
            learning_rate,
            weight_decay=weight_decay,
            adam_weight_decay=weight_decay,
            adam_lr_ratio=_ADAM_SHARE,
            momentum=_MOMENTUM,
        )
    else:
        optimizer = keras.optimizers.AdamW(learning_rate, weight_decay=weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


@keras.saving.register_keras_serializable(package="hemline")
class ConvolutionMuon(keras.optimizers.Muon):  # type: ignore[misc]
    """Keras's Muon, for the kernels of convolutions too: each is a matrix, its inputs by its outputs.

    Keras's own orthogonalises two-dimensional variables only and leaves kernels to AdamW. Here the
    convolutions get Muon and everything else, the classifier's matrix included, gets AdamW (Jordan
    et al. 2024, "Muon: an optimizer for hidden layers").
    """

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) != 4

    def _muon_update_step(self, gradient: Any, variable: Any, lr: Any, m: Any) -> None:
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        g = ops.add(gradient, self.momentum * m) if self.nesterov else m
        matrix = ops.reshape(g, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(matrix, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))
