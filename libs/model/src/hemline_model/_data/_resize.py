"""Bringing the images of a data set that is made already to another shape."""

import dataclasses

from hemline_model._contract import InputContract
from hemline_model._data._spool import Spool
from hemline_model._data._types import Dataset, Split
from hemline_model._decode import bring_to_contract

__all__ = ["resize"]


def resize(data: Dataset, contract: InputContract, in_memory_bytes: int) -> Dataset:
    """The same data set with each image brought to `contract`, as a served one would be.

    Raises:
        BadDataset: no room is left for the scratch file of what is beyond `in_memory_bytes`.
    """
    if data.input == contract:
        return data
    splits = {
        name: _resize_split(split, contract, in_memory_bytes) for name, split in data.splits.items()
    }
    return dataclasses.replace(data, input=contract, splits=splits)


def _resize_split(split: Split, contract: InputContract, in_memory_bytes: int) -> Split:
    spool = Spool(contract.shape, in_memory_bytes, expected=len(split))
    for images, _ in split.batches():
        for image in images:
            spool.append(bring_to_contract(image, contract))
    return dataclasses.replace(split, images=spool.images())
