"""From arrays of images and labels to a data set: shapes and ranges checked, ids given."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from hemline_model._contract import MAX_CLASSES, InputContract
from hemline_model._data._stored import ChosenImages, JoinedImages
from hemline_model._data._text import printable
from hemline_model._data._types import Dataset, Images, Split, check_classes
from hemline_model._errors import BadDataset
from hemline_model._split import split_of

__all__ = ["Part", "assemble", "choose_images", "join_splits", "natural_order", "split_by_name"]

Part = tuple[npt.NDArray[np.uint8] | Images, npt.NDArray[Any]]
"""Images (N, height, width[, channels]) and labels (N,), numbers or names, of one part of a set."""


def assemble(
    name: str, where: str, parts: Mapping[str, Part], classes: Sequence[str] | None = None
) -> Dataset:
    """Make a data set of the parts `train` (divided by hash of the id), `validation` and `test`.

    Ids are `<name>-<part>-00042`, the number being the position in the part.

    Raises:
        BadDataset: shapes or labels that do not fit.
    """
    name = printable(name)
    parts, classes = _number_labels(where, parts, classes)
    wholes = {part: _check_part(name, where, part, *arrays) for part, arrays in parts.items()}
    if "train" not in wholes:
        found = ", ".join(wholes) or "nothing"
        raise BadDataset(f"{where} holds {found}; expected a train part")
    shapes = {part: whole.images[:1].shape[1:] for part, whole in wholes.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{part} {shape}" for part, shape in shapes.items())
        raise BadDataset(f"{where}: the images differ in shape ({listed}); expected one shape")
    highest = max(int(whole.labels.max()) for whole in wholes.values())
    if not classes and highest >= MAX_CLASSES:
        raise BadDataset(
            f"{where} has the label {highest}; expected 0 to {MAX_CLASSES - 1}, or names for labels"
        )
    names = list(classes) if classes else [str(number) for number in range(highest + 1)]
    if highest >= len(names):
        raise BadDataset(
            f"{where} has the label {highest}; expected 0 to {len(names) - 1} ({len(names)} classes)"
        )
    if len(names) < 2:
        raise BadDataset(f"{where} has one class only; expected at least 2")
    check_classes(where, names)
    height, width, channels = shapes["train"]
    try:
        contract = InputContract.model_validate(
            {"height": height, "width": width, "channels": channels}
        )
    except ValidationError as error:
        raise BadDataset(
            f"{where} holds images of {height} x {width} pixels; expected 8 to 1,024 a side"
        ) from error
    splits: dict[str, Split] = {}
    if "validation" in wholes:
        splits["train"] = wholes["train"]
    else:
        splits |= split_by_name(wholes["train"])
    splits |= {part: whole for part, whole in wholes.items() if part != "train"}
    if not len(splits["validation"]) or not len(splits["train"]):
        raise BadDataset(
            f"{where} holds {len(wholes['train'])} images to train on: too few to keep any for "
            "validation; expected some tens for each class"
        )
    return Dataset(name, names, contract, splits)


def split_by_name(whole: Split) -> dict[str, Split]:
    """Divide samples into train and validation by the hash of their ids."""
    sides = np.array([split_of(sample_id) == "validation" for sample_id in whole.ids], bool)
    result = {}
    for name, mask in (("train", ~sides), ("validation", sides)):
        rows = np.flatnonzero(mask)
        ids = [whole.ids[row] for row in rows.tolist()]
        result[name] = Split(ids, whole.labels[rows], choose_images(whole.images, rows))
    return result


def choose_images(images: Images, rows: npt.NDArray[np.int64]) -> Images:
    """Some of the images: a copy of those in memory, the others left where they are."""
    return images[rows] if isinstance(images, np.ndarray) else ChosenImages(images, rows)


def join_splits(data: Dataset) -> Split:
    """All samples of a data set as one split."""
    parts = [split for split in data.splits.values() if len(split)]
    ids = [sample_id for split in parts for sample_id in split.ids]
    labels = np.concatenate([split.labels for split in parts])
    return Split(ids, labels, JoinedImages([split.images for split in parts]))


def natural_order(label: str) -> tuple[int, int, str]:
    """Sorts class names by number where they are numbers, else by name."""
    return (0, int(label), label) if label.isdecimal() else (1, 0, label)


def _number_labels(
    where: str, parts: Mapping[str, Part], classes: Sequence[str] | None
) -> tuple[Mapping[str, Part], Sequence[str] | None]:
    """Labels that are names become numbers; their order is that of the classes, or of the names."""
    if not any(labels.dtype.kind == "U" for _, labels in parts.values()):
        return parts, classes
    found = {str(name) for _, labels in parts.values() for name in np.unique(labels)}
    names = list(classes) if classes else sorted(found, key=natural_order)
    if unknown := sorted(found - set(names)):
        raise BadDataset(f"{where} has the label {unknown[0]!r}; expected one of the classes")
    number = {name: place for place, name in enumerate(names)}
    return {
        part: (images, np.array([number[str(name)] for name in labels.ravel()], np.int64))
        for part, (images, labels) in parts.items()
    }, names


def _check_part(
    name: str,
    where: str,
    part: str,
    images: npt.NDArray[np.uint8] | Images,
    labels: npt.NDArray[Any],
) -> Split:
    if isinstance(images, np.ndarray):
        images = _check_images(where, part, images)
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise BadDataset(
            f"{where}: the {part} labels are {labels.dtype} of the shape {labels.shape}; expected "
            "N whole numbers"
        )
    if len(images) != len(labels):
        raise BadDataset(
            f"{where}: {len(images):,} {part} images and {len(labels):,} labels; expected as many "
            "of each"
        )
    if not len(images):
        raise BadDataset(f"{where}: the {part} part holds no images")
    if int(labels.min()) < 0:
        raise BadDataset(f"{where} has the label {labels.min()}; expected 0 or more")
    if int(labels.max()) > np.iinfo(np.int64).max:
        raise BadDataset(
            f"{where} has the label {labels.max()}; expected 0 to {MAX_CLASSES - 1}, or names for "
            "labels"
        )
    ids = [f"{name}-{part}-{number:05d}" for number in range(len(images))]
    return Split(ids, labels.astype(np.int64), images)


def _check_images(where: str, part: str, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if images.dtype != np.uint8:
        raise BadDataset(
            f"{where}: the {part} images are {images.dtype}; expected uint8 from 0 to 255"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3):
        raise BadDataset(
            f"{where}: the {part} images have the shape {images.shape}; expected N x height x "
            "width[ x 1 or 3]"
        )
    return images
