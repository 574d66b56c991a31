"""Where things lie, and the one error of the kit."""

import os
from pathlib import Path
from typing import Final

__all__ = ["KIT", "ROOT", "Unavailable", "archive", "cache"]

ROOT: Final = Path(__file__).parents[3]
KIT: Final = ROOT / "tests" / "cluster"


class Unavailable(Exception):
    """What a test needs cannot be had here; the message says why and what would help."""


def cache() -> Path:
    """The folder of what the kit builds and of its running node."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HEMLINE_CLUSTER") or base / "hemline" / "cluster")


def archive(name: str) -> Path:
    """Where images/build.sh leaves an image with the kit's builder."""
    return cache() / "images" / f"hemline-{name}.tar"
