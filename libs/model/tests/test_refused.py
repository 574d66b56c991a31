"""What would fail after a long training, or train on something else than meant, is refused before."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import hemline_model as hm
from hemline_model import BadDataset, dataset, dataset_from

PIXELS = np.random.default_rng(0).integers(0, 256, (80, 10, 10), np.uint8)
LABELS = np.arange(80) % 2


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat"], "pets has 1 class; expected 2 to 1,000"),
        (["cat", "dog", "cat"], "pets names the class 'cat' twice; expected each once"),
        ([str(n) for n in range(1001)], "pets has 1,001 classes; expected 2 to 1,000"),
    ],
    ids=["one", "twice", "many"],
)
def test_classes_that_no_card_could_hold(classes: Sequence[str], message: str) -> None:
    shape = hm.InputContract(height=10, width=10, channels=1)
    with pytest.raises(BadDataset) as caught:
        hm.Dataset("pets", list(classes), shape, {})
    assert str(caught.value) == message


def test_labels_beyond_what_a_model_tells_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, images=PIXELS, labels=LABELS * 4_000_000_000)
    with pytest.raises(BadDataset) as caught:
        dataset(path)
    assert str(caught.value) == (
        f"{path} has the label 4000000000; expected 0 to 999, or names for labels"
    )
    np.savez(path, images=PIXELS, labels=LABELS, classes=["cat", "dog", "dog"])
    with pytest.raises(BadDataset) as caught:
        dataset(path)
    assert str(caught.value) == f"{path} names the class 'dog' twice; expected each once"


def test_a_sample_with_a_label_beyond_is_left_out() -> None:
    pairs = [*zip(PIXELS, LABELS.tolist(), strict=True), (PIXELS[0], 10**15)]
    found = dataset_from(pairs)
    assert found.classes == ["0", "1"]
    assert [str(problem) for problem in found.problems] == [
        f"sample 80: its label is {10**15}; expected 0 to 999; left out"
    ]
