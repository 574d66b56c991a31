"""What is wrong with a data set as a whole, once its files can be read."""

import hashlib
from collections import Counter
from collections.abc import Iterator

import numpy as np

from hemline_model._data._types import Dataset, Problem, Split

__all__ = ["find_problems"]

_NAMED = 5


def find_problems(data: Dataset) -> list[Problem]:
    """List what loading found, classes too small to learn, and images on both sides of a split.

    Two images are the same when every pixel is, after they were brought to the input shape.
    """
    problems = list(data.problems)
    counts = Counter(data.split("train").labels.tolist())
    told = {problem.where for problem in problems}
    for number, name in enumerate(data.classes):
        if counts[number] < 2 and name not in told:
            held = {0: "no images", 1: "one image"}[counts[number]]
            problems.append(Problem(name, f"the class has {held} to learn from"))
    seen = {digest: data.splits["train"].ids[row] for row, digest in _digests(data.splits["train"])}
    for part in ("validation", "test"):
        if part not in data.splits:
            continue
        split = data.splits[part]
        twins = [(split.ids[row], seen[d]) for row, d in _digests(split) if d in seen]
        if twins:
            named = ", ".join(f"{one} = {other}" for one, other in twins[:_NAMED])
            more = f" and {len(twins) - _NAMED:,} more" if len(twins) > _NAMED else ""
            problems.append(
                Problem(part, f"{len(twins):,} images are in the train split too: {named}{more}")
            )
    return problems


def _digests(split: Split) -> Iterator[tuple[int, bytes]]:
    row = 0
    for images, _ in split.batches():
        for image in images:
            pixels = np.ascontiguousarray(image).data
            yield row, hashlib.blake2b(pixels, digest_size=16).digest()
            row += 1
