"""Which images are learned from and which are kept to judge by: fixed by a hash of the name."""

import hashlib
from typing import Literal

__all__ = ["SplitName", "split_of"]

SplitName = Literal["train", "validation", "test"]

_SALT = "split:"
_VALIDATION_SHARE = 0.1


def split_of(name: str) -> Literal["train", "validation"]:
    """Say on which side the image (or group of images) called `name` is, now and for ever.

    The first 8 bytes of SHA-256(salt + name), read big-endian and divided by 2**64, are below 0.1
    for one name in ten: those are validation. No list is kept, so data that comes later never moves
    an earlier image to the other side.
    """
    digest = hashlib.sha256((_SALT + name).encode("utf-8", "backslashreplace")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    return "validation" if position < _VALIDATION_SHARE else "train"
