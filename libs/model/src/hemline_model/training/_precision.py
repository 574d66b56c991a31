"""What a training computes in."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from hemline_model.training._keras import keras
from hemline_model.training._settings import Precision

__all__ = ["computing_in", "training_precision"]

_CPU_INFO = Path("/proc/cpuinfo")
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}


def training_precision(
    wanted: Precision, *, own_network: bool = True
) -> Literal["float32", "bfloat16"]:
    """What "auto" means here: bfloat16 for our network, on TensorFlow, where the processor has it.

    A network that somebody else built is computed as it was written unless bfloat16 is asked for.
    """
    if wanted != "auto":
        return wanted
    fast = keras.backend.backend() == "tensorflow" and _processor_has_bfloat16()
    return "bfloat16" if own_network and fast else "float32"


@contextlib.contextmanager
def computing_in(precision: Literal["float32", "bfloat16"]) -> Iterator[None]:
    """While inside, new layers keep float32 weights and compute in `precision`."""
    before = keras.config.dtype_policy()
    if precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _processor_has_bfloat16() -> bool:
    try:
        text = _CPU_INFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return bool(_INSTRUCTIONS & set(flags.split()))
