"""Scoring versions on the odd-indexed official test images, which are in nobody's stream and nobody's training set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

import hemline_model
from hemline.demo._summary import HeldOut
from hemline_store import Lake

__all__ = ["score_held_out"]

_BATCH = 256


def score_held_out(
    lake_uri: str, classifier: str, versions: Sequence[int], *, data: str, cache: Path
) -> list[HeldOut]:
    """Fetch each version from the lake and count its right answers.

    Args:
        lake_uri: the lake.
        classifier: whose versions.
        versions: to score.
        data: data set whose test split is used.
        cache: where fetched versions are kept.
    """
    split = hemline_model.dataset(data).split("test")
    odd = np.arange(1, len(split), 2)
    models = Lake(lake_uri, classifier).models
    scores = []
    for version in versions:
        # Two threads: nothing else runs any more when this does.
        model = hemline_model.load(models.fetch(version, cache), threads=2)
        right = 0
        for start in range(0, len(odd), _BATCH):
            places = odd[start : start + _BATCH]
            predicted = model.predict(split.images[places]).labels
            right += int((predicted == split.labels[places]).sum())
        scores.append(HeldOut(version, right, len(odd)))
    return scores
