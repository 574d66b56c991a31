"""Drift: what happens to the camera while the stream runs.

Each transform takes and returns uint8 images height x width x channels. `Gaussian` blur and rotation are Pillow's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from hemline_client_sim._errors import BadDrift

__all__ = ["KINDS", "Change", "transform"]

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the stream.

    Args:
        kind: ``inversion``, ``rotation``, ``blur``, ``dark``, ``noise``, ``mix`` or ``none`` (back to a clean stream).
        amount: degrees, radius in pixels, factor of brightness, standard deviation in grey levels.
        classes: for ``mix``: class name or index and weight; classes that are not named do not appear.
    """

    kind: str
    amount: float = 0.0
    classes: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        """As it is written on the command line."""
        if self.kind == "mix":
            return "mix:" + "+".join(f"{name}={weight:g}" for name, weight in self.classes)
        return f"{self.kind}:{self.amount:g}" if _KINDS[self.kind].unit else self.kind

    def apply(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """The image as the changed camera shows it."""
        return _KINDS[self.kind].apply(pixels, self.amount, rng)

    @classmethod
    def parse(cls, text: str) -> "Change":
        """Read ``inversion``, ``rotation:20``, ``mix:sandal=3+bag=1``.

        Raises:
            BadDrift: the kind is unknown, or its amount missing a number or out of range.
        """
        name, colon, rest = text.partition(":")
        kind = _KINDS.get(name)
        if kind is None:
            raise BadDrift(f"drift {text!r}: received kind {name!r}, expected one of {_listed()}")
        if name == "mix":
            return cls("mix", classes=_parse_mix(text, rest))
        if not kind.unit:
            if colon:
                raise BadDrift(f"drift {text!r}: received {rest!r} after {name}, expected nothing")
            return cls(name)
        amount = _number(rest) if colon else kind.usual
        if amount is None or not kind.least <= amount <= kind.most:
            raise BadDrift(
                f"drift {text!r}: received {rest!r}, expected {kind.least:g} to {kind.most:g} {kind.unit}"
            )
        return cls(name, amount)


def transform(pixels: Pixels, changes: tuple[Change, ...], rng: np.random.Generator) -> Pixels:
    """Apply the changes in order."""
    for change in changes:
        pixels = change.apply(pixels, rng)
    return pixels


def _parse_mix(text: str, rest: str) -> tuple[tuple[str, float], ...]:
    weights: dict[str, float] = {}
    for part in rest.split("+"):
        name, equals, number = part.partition("=")
        weight = _number(number) if equals else 1.0
        if not name or weight is None or weight < 0 or name in weights:
            raise BadDrift(
                f"drift {text!r}: received {part!r}, expected each class once as NAME or NAME=WEIGHT, "
                "joined by '+', weights 0 or more"
            )
        weights[name] = weight
    if not sum(weights.values()) > 0:
        raise BadDrift(f"drift {text!r}: received no weight above 0, expected at least one")
    return tuple(weights.items())


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _same(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    return pixels


def _invert(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    return 255 - pixels


def _rotate(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    image = _to_image(pixels).rotate(amount, resample=Image.Resampling.BILINEAR)
    return _to_pixels(image, pixels)


def _blur(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    return _to_pixels(_to_image(pixels).filter(ImageFilter.GaussianBlur(amount)), pixels)


def _darken(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    darker: Pixels = np.rint(pixels * amount).astype(np.uint8)
    return darker


def _add_noise(pixels: Pixels, amount: float, rng: np.random.Generator) -> Pixels:
    noisy = pixels + rng.normal(0.0, amount, pixels.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _to_image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _to_pixels(image: Image.Image, like: Pixels) -> Pixels:
    return np.asarray(image, dtype=np.uint8).reshape(like.shape)


@dataclass(frozen=True, slots=True)
class _Kind:
    apply: Callable[[Pixels, float, np.random.Generator], Pixels]
    unit: str = ""
    usual: float = 0.0
    least: float = 0.0
    most: float = 0.0


_KINDS: Final = {
    "inversion": _Kind(_invert),
    "rotation": _Kind(_rotate, "degrees, counter-clockwise", 20.0, -360.0, 360.0),
    "blur": _Kind(_blur, "pixels of radius", 1.5, 0.0, 100.0),
    "dark": _Kind(_darken, "times the brightness", 0.4, 0.0, 1.0),
    "noise": _Kind(_add_noise, "grey levels of standard deviation", 40.0, 0.0, 255.0),
    "mix": _Kind(_same),
    "none": _Kind(_same),
}

KINDS: Final = tuple(_KINDS)
"""Every kind of change."""


def _listed() -> str:
    return ", ".join(
        f"{name}[:{kind.usual:g}]" if kind.unit else name for name, kind in _KINDS.items()
    )
