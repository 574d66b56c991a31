"""Where model versions come from: fetched from the lake, verified, loaded and warmed up before anyone sees them."""

import shutil
from pathlib import Path
from typing import Protocol

import numpy as np

import hemline_model
from hemline_inference._errors import VersionRefused, VersionUnavailable
from hemline_model import BadModel, Classifier
from hemline_store import CorruptModel, ModelStore, StoreError, UnknownVersion

__all__ = ["ModelSource", "Models", "warm_up"]

_WARM_UP_BATCHES = (1, 32)
_KEPT = 8  # versions before the newest that stay in the cache


class ModelSource(Protocol):
    """Loads a version, ready to answer. Blocks: it is called on a thread of its own."""

    def load(self, version: int) -> Classifier:
        """Fetch, verify, load and warm up.

        Raises:
            VersionRefused: it cannot serve here.
            VersionUnavailable: not now.
        """


class Models:
    """Versions of the lake.

    Args:
        versions: the lake's model versions.
        cache: folder for fetched versions of this classifier in this lake, and of no other.
        threads: threads of each engine.
    """

    def __init__(self, versions: ModelStore, *, cache: Path, threads: int) -> None:
        """Nothing is fetched before ``load``."""
        self._versions = versions
        self._cache = cache
        self._threads = threads

    def load(self, version: int) -> Classifier:
        """Fetch, verify, load and warm up; raises as ``ModelSource.load`` says."""
        try:
            folder = self._versions.fetch(version, self._cache)
        except UnknownVersion as error:
            raise VersionRefused(version, "missing", _line(error)) from error
        except CorruptModel as error:
            raise VersionRefused(version, "damaged", _line(error)) from error
        except (StoreError, OSError) as error:
            # Refused credentials and a full disk are no fault of the version: they are waited for, and reported.
            raise VersionUnavailable(f"version {version}: {_line(error)}") from error
        try:
            classifier = hemline_model.load(folder, threads=self._threads)
        except BadModel as error:
            raise VersionRefused(version, "damaged", _line(error)) from error
        warm_up(version, classifier)
        self._forget_long_past(version)
        return classifier

    def _forget_long_past(self, version: int) -> None:
        """Every fine-tune adds a version; a rollback reaches back a few of them, and can fetch again."""
        for folder in self._cache.iterdir():
            if folder.name.isdigit() and int(folder.name) < version - _KEPT:
                shutil.rmtree(folder, ignore_errors=True)


def warm_up(version: int, classifier: Classifier) -> None:
    """Let an engine answer once, so that its first image does not wait, and see that it answers at all.

    Raises:
        VersionRefused: it raises, or what it says are no probabilities.
    """
    shape, classes = classifier.card.input.shape, len(classifier.card.classes)
    for count in _WARM_UP_BATCHES:
        ramp = np.arange(count * int(np.prod(shape)), dtype=np.int64) % 251
        images = ramp.astype(np.uint8).reshape(count, *shape)
        try:
            answer = classifier.predict(images)
        except Exception as error:  # the engine's errors have no common type
            raise VersionRefused(version, "failed", f"it raises: {_line(error)}") from error
        given = answer.probabilities
        if given.shape != (count, classes):
            raise VersionRefused(
                version,
                "wrong_answers",
                f"it answers with the shape {given.shape}, expected {(count, classes)}",
            )
        if not np.isfinite(given).all() or not np.allclose(given.sum(axis=1), 1.0, atol=1e-3):
            raise VersionRefused(
                version, "wrong_answers", "it answers with numbers that are no probabilities"
            )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
