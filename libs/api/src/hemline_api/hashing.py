"""Which side an id falls on, by a stable hash: no state, the same answer in every process.

A hash is the first 8 bytes (big-endian) of SHA-256(salt + id) as a fraction of 2**64. Each purpose has a salt
of its own, so that being in the validation split says nothing about being in a canary.
"""

import hashlib
from typing import Final, Literal

__all__ = ["CANARY_SALT", "SPLIT_SALT", "VALIDATION_FRACTION", "Split", "split_of", "unit_hash"]

Split = Literal["train", "validation", "test"]

SPLIT_SALT: Final = "split:"
CANARY_SALT: Final = "canary:"
VALIDATION_FRACTION: Final = 0.1


def unit_hash(salt: str, key: str) -> float:
    """A number in [0, 1) that depends on nothing but its two arguments."""
    digest = hashlib.sha256((salt + key).encode()).digest()
    # 53 bits are what a float can hold: dividing all 64 could round up to 1.0.
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def split_of(key: str) -> Literal["train", "validation"]:
    """The side on which an image with this ``group`` (else this id) always is.

    The test split is never computed: it is what an official test set says of itself.
    """
    return "validation" if unit_hash(SPLIT_SALT, key) < VALIDATION_FRACTION else "train"
