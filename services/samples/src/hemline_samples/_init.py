"""Filling a new lake: version 1 and the original data set, once, however often and by however many it is asked."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import imagecodecs
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

import hemline_model as hm
from hemline_runtime import UsageFailure
from hemline_store import Lake
from hemline_store.tables import ImportItem, Samples

__all__ = ["INITIAL_UID", "init_lake"]

_log = logging.getLogger(__name__)

INITIAL_UID: Final = "initial"
"""The uid under which the first version is published."""


def init_lake(lake: Lake, *, model: str, data: str | None) -> int:
    """Publish the first version and import the data set it came from; what is there already stays as it is.

    Of an official test set the odd-numbered images are imported, as ``test``: they only ever evaluate. The
    even-numbered ones are left for whoever simulates a stream of images that no model has seen.

    Args:
        lake: the classifier's lake.
        model: name of a shipped model, or a model folder.
        data: name or folder of a data set; None imports nothing.

    Returns:
        The first version's number.

    Raises:
        UsageFailure: the data set has other classes than the model.
        ModelError, StoreError: one of them cannot be read or written.
    """
    directory = Path(model) if Path(model).is_dir() else hm.pretrained(model)
    card = hm.read_card(directory)
    version = lake.models.find(INITIAL_UID)
    if version is None:
        version = lake.models.publish(directory, uid=INITIAL_UID)
        _log.info("published version %d: %s", version, directory.name)
    samples = Samples.open(lake)
    if data is not None:
        dataset = hm.dataset(data, card.input)
        if dataset.classes != card.classes:
            raise UsageFailure(
                f"--data {data}: its classes are {', '.join(dataset.classes)}; "
                f"expected those of the model: {', '.join(card.classes)}"
            )
        total = sum(len(split) for split in dataset.splits.values())
        items = track(
            _items(dataset, card.input),
            description=f"importing {dataset.name}",
            total=total - (len(dataset.splits["test"]) + 1) // 2
            if "test" in dataset.splits
            else total,
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        samples.import_dataset(dataset.name, items)
        _log.info("the lake holds the data set %s", dataset.name)
    return version


def _items(dataset: hm.Dataset, contract: hm.InputContract) -> Iterator[ImportItem]:
    for name, split in dataset.splits.items():
        only_odd = name == "test"
        for position, (sample, label) in enumerate(
            zip(split.ids, split.labels.tolist(), strict=True)
        ):
            if only_odd and position % 2 == 0:
                continue
            image = hm.bring_to_contract(split.images[position], contract)
            yield ImportItem(
                id=sample,
                data=_png(image),
                content_type="image/png",
                label=label,
                split="test" if only_odd else None,
            )


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    return bytes(imagecodecs.png_encode(image[:, :, 0] if image.shape[2] == 1 else image))
