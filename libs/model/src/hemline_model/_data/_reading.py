"""How image files are to be read, and keeping quiet about what Pillow has to say meanwhile."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hemline_model._contract import InputContract
from hemline_model._data._spool import IN_MEMORY_BYTES

__all__ = ["Reading", "quiet_pillow"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How to make a data set of image files."""

    contract: InputContract | None = None
    """The shape to bring images to; None: chosen from them."""

    classes: Sequence[str] | None = None
    """Classes of a model to judge: images of some of them, or few, are enough. None: those found."""

    in_memory_bytes: int = IN_MEMORY_BYTES
    """Pixels of a split that are kept in memory, in bytes."""

    on_read: Callable[[int, int], None] | None = None
    """Told the number of files decoded so far, and of all, after each."""


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Nothing that Pillow warns of: what matters is found when the image is decoded, and listed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
