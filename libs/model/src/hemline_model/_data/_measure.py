"""Choosing an input shape from the images themselves."""

import io
import tokenize
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from hemline_model._contract import InputContract
from hemline_model._data._reading import quiet_pillow

__all__ = ["LOOKED_AT", "Source", "choose_contract"]

LOOKED_AT = 200
"""How many images, spread over all that there are, decide about the shape."""

Source = Path | bytes | npt.NDArray[np.uint8]
"""An image file, the bytes of one, or pixels."""

_LARGEST_SIDE = 96
_FALLBACK = InputContract(height=64, width=64, channels=3)
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    IndexError,
    # What NumPy raises besides, where the header of an array is damaged.
    TypeError,
    OverflowError,
    AttributeError,
    tokenize.TokenError,
    Image.DecompressionBombError,
)
_TURNED = (5, 6, 7, 8)
_ORIENTATION = 0x0112


def choose_contract(sources: Sequence[Source]) -> InputContract:
    """Choose an input shape: the median size, at most 96 pixels a side, grey only if all are.

    Sides above 32 are rounded to a multiple of 8. Images that cannot be read do not count; 64x64x3
    if none can.
    """
    sizes, colour = [], False
    step = max(1, len(sources) // LOOKED_AT)
    for source in sources[::step]:
        try:
            with quiet_pillow():
                width, height, has_colour = _measure(source)
        except _UNREADABLE:
            continue
        sizes.append((height, width))
        colour = colour or has_colour
    if not sizes:
        return _FALLBACK
    tall, wide = (float(side) for side in np.median(np.array(sizes), axis=0))
    scale = min(1.0, _LARGEST_SIDE / max(tall, wide))
    return InputContract(
        height=_round(tall * scale), width=_round(wide * scale), channels=3 if colour else 1
    )


def _round(side: float) -> int:
    return max(8, round(side) if side <= 32 else 8 * round(side / 8))


def _measure(source: Source) -> tuple[int, int, bool]:
    """Width, height, and whether there is colour."""
    if isinstance(source, np.ndarray):
        return _measure_array(source.shape)
    if isinstance(source, bytes):
        if source.startswith(b"\x93NUMPY"):
            return _measure_array(np.load(io.BytesIO(source), allow_pickle=False).shape)
        return _measure_picture(io.BytesIO(source))
    if source.suffix.lower() == ".npy":
        return _measure_array(np.load(source, mmap_mode="r", allow_pickle=False).shape)
    return _measure_picture(source)


def _measure_array(shape: tuple[int, ...]) -> tuple[int, int, bool]:
    return shape[1], shape[0], len(shape) == 3 and shape[2] > 1


def _measure_picture(source: Path | io.BytesIO) -> tuple[int, int, bool]:
    with Image.open(source) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION, 1) in _TURNED:
            width, height = height, width
        if image.mode in ("1", "L", "LA", "I", "I;16", "F"):
            return width, height, False
        if image.format == "JPEG":
            image.draft("RGB", (64, 64))
        small = np.asarray(image.convert("RGB").resize((16, 16))).astype(np.int16)
    # A grey picture is often stored as RGB; a few grey levels of difference are JPEG's rounding.
    return width, height, bool((small.max(axis=2) - small.min(axis=2)).max() > 12)
