"""Layers of our own. They use `keras.ops` alone, so they run on every backend."""

from typing import Any

from hemline_model.training._keras import keras

__all__ = ["Augment", "MeanLogProbability", "Mirror"]

ops = keras.ops


@keras.saving.register_keras_serializable(package="hemline")
class Augment(keras.layers.Layer):  # type: ignore[misc]
    """Mirror, shift and partly erase uint8 or float images while training; else pass them on.

    Each image gets a row matrix and a column matrix that pick its source pixels, so that mirroring
    and shifting are two small matrix products, which every backend does fast. Source positions
    beyond an edge repeat the edge. One in two images has a rectangle painted over with a random
    shade (random erasing, Zhong et al. 2017).

    Args:
        flip: mirror half of the images left to right.
        shift: largest shift as a fraction of each side.
        erase: largest side of the erased rectangle, as a fraction of the image's.
        seed: seed of the random choices.

    Shape: (N, height, width, channels) in and out; the output is float.
    """

    def __init__(
        self,
        *,
        flip: bool = True,
        shift: float = 0.08,
        erase: float = 0.5,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        for name, value in (("shift", shift), ("erase", erase)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} is {value}; expected a fraction from 0 to below 1")
        super().__init__(**kwargs)
        self.flip = flip
        self.shift = shift
        self.erase = erase
        self.seed = seed
        self._random = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        """Vary the images if `training`."""
        images = ops.cast(images, self.compute_dtype)
        if not training:
            return images
        count = ops.shape(images)[0]
        height, width = images.shape[1], images.shape[2]
        if self.flip or self.shift:
            rows = self._picker(count, height, mirrored=False)
            columns = self._picker(count, width, mirrored=self.flip)
            images = ops.einsum("nih,nhwc->niwc", rows, images)
            images = ops.einsum("njw,niwc->nijc", columns, images)
        if self.erase:
            images = self._erase(images, count, height, width)
        return images

    def _picker(self, count: Any, size: int, *, mirrored: bool) -> Any:
        positions = ops.arange(size, dtype="float32")[None, :]
        largest = round(self.shift * size)
        offset = ops.round(
            keras.random.uniform((count, 1), -largest - 0.5, largest + 0.5, seed=self._random)
        )
        source = ops.clip(positions + offset, 0.0, float(size - 1))
        if mirrored:
            chosen = keras.random.uniform((count, 1), seed=self._random) < 0.5
            source = ops.where(chosen, float(size - 1) - source, source)
        picks = ops.equal(source[:, :, None], positions[:, None, :])
        return ops.cast(picks, self.compute_dtype)

    def _erase(self, images: Any, count: Any, height: int, width: int) -> Any:
        inside = []
        for size in (height, width):
            length = keras.random.uniform(
                (count, 1), 0.1 * size, max(self.erase, 0.1) * size, seed=self._random
            )
            start = keras.random.uniform((count, 1), 0.0, 1.0, seed=self._random) * (size - length)
            positions = ops.arange(size, dtype="float32")[None, :]
            inside.append(
                ops.logical_and(positions >= ops.floor(start), positions < start + length)
            )
        chosen = keras.random.uniform((count, 1, 1), seed=self._random) < 0.5
        hole = ops.logical_and(inside[0][:, :, None], inside[1][:, None, :])
        hole = ops.logical_and(hole, chosen)[..., None]
        shade = keras.random.uniform((count, 1, 1, 1), 0.0, 255.0, seed=self._random)
        return ops.where(hole, ops.cast(shade, images.dtype), images)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Arguments to make the same layer again."""
        own = {"flip": self.flip, "shift": self.shift, "erase": self.erase, "seed": self.seed}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable(package="hemline")
class Mirror(keras.layers.Layer):  # type: ignore[misc]
    """Images (N, height, width, channels) left to right."""

    def call(self, images: Any) -> Any:
        """Mirror them."""
        return ops.flip(images, axis=2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the input."""
        return input_shape


@keras.saving.register_keras_serializable(package="hemline")
class MeanLogProbability(keras.layers.Layer):  # type: ignore[misc]
    """Mean of the log-probabilities of several logits (N, K): logits of their joint opinion."""

    def call(self, answers: Any) -> Any:
        """Join a list of logits."""
        return sum(ops.log_softmax(logits) for logits in answers) / len(answers)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of each input."""
        return input_shape[0]
