"""Image ids: ``<run>-<index>-<n>``, the index being the image's place in the test split."""

import re
from typing import Final

from hemline_client_sim._errors import SimulatorError

__all__ = ["check_run", "image_id", "number_of"]

_RUN: Final = re.compile(r"[A-Za-z0-9_.]{1,32}")
_NUMBERS: Final = re.compile(r"\d{1,12}-(\d{1,12})")


def check_run(run: str) -> str:
    """Refuse a run's name that could not be told apart from the numbers behind it.

    Raises:
        SimulatorError: it is empty, too long, or has other characters.
    """
    if not _RUN.fullmatch(run):
        raise SimulatorError(
            f"run: received {run!r}, expected 1 to 32 of letters, digits, '_' and '.'"
        )
    return run


def image_id(run: str, index: int, n: int) -> str:
    """The id of image ``n``."""
    return f"{run}-{index}-{n}"


def number_of(run: str, identity: str) -> int | None:
    """``n`` of an id of this run; None when it is another client's; -1 when it is ours and cannot be."""
    prefix = f"{run}-"
    if not identity.startswith(prefix):
        return None
    match = _NUMBERS.fullmatch(identity, len(prefix))
    return int(match[1]) if match else -1
