"""A data set of any samples that can be gone through once: (image, label) pairs."""

import hashlib
import itertools
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hemline_model._contract import MAX_CLASSES, InputContract
from hemline_model._data._assemble import choose_images, natural_order
from hemline_model._data._measure import LOOKED_AT, Source, choose_contract
from hemline_model._data._spool import IN_MEMORY_BYTES, Spool
from hemline_model._data._text import printable
from hemline_model._data._types import Dataset, Problem, Split, check_classes, first_of
from hemline_model._decode import ImageArray, bring_to_contract, decode
from hemline_model._errors import BadDataset, BadImage
from hemline_model._split import SplitName, split_of

__all__ = ["Sample", "dataset_from"]

_MAX_HELD_BYTES = 64 << 20


class Sample(NamedTuple):
    """One labelled image; a plain tuple (image, label) is one too.

    `image`: the bytes of a PNG, JPEG, WebP or .npy file, the path of one, or a uint8 array height x
    width[ x channels]. `label`: a class name, or an index into the classes. `id`: what the image is
    called; a hash of its content when not given. `split`: where it belongs; decided by the hash of
    its id when not given, one in ten for validation.
    """

    image: bytes | os.PathLike[str] | npt.NDArray[np.uint8]
    label: int | str
    id: str | None = None
    split: SplitName | None = None


def dataset_from(
    samples: Iterable[Sample | tuple[Any, ...]],
    *,
    name: str = "samples",
    classes: Sequence[str] | None = None,
    contract: InputContract | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Dataset:
    """Make a data set of (image, label) samples, gone through once.

    Without `classes`, labels that are names are sorted, and numbers count from 0. Without a
    `contract`, the first 200 images decide about the shape. Images are decoded as they come and
    kept as `dataset` keeps them: beyond `in_memory_bytes` in a scratch file. One that cannot be
    decoded, or has a label outside the classes, is listed in `problems` and left out.

    Raises:
        BadDataset: no sample is usable, or there are fewer than two classes.
    """
    stream = map(_as_sample, samples)
    classes = None if classes is None else [printable(label) for label in classes]
    head = list(_first(stream))
    shape = contract or choose_contract([_source(sample) for sample in head])
    spool = Spool(shape.shape, in_memory_bytes)
    problems: list[Problem] = []
    ids: list[str] = []
    labels: list[int | str] = []
    sides: list[str] = []
    known = set(classes or ())
    for number, sample in enumerate(itertools.chain(head, stream)):
        try:
            label = _check_label(sample.label, known)
            image, digest = _decode(sample, shape)
        except BadImage as error:
            problems.append(Problem(sample.id or f"sample {number}", f"{error}; left out"))
            continue
        spool.append(image)
        ids.append(sample.id or digest)
        labels.append(label)
        sides.append(sample.split or split_of(ids[-1]))
    if not ids:
        raise BadDataset(f"{name} holds no usable samples{first_of(problems)}")
    names, numbers = _number(labels, classes, name)
    splits = {}
    images, side = spool.images(), np.array(sides)
    for part in ("train", "validation", "test"):
        rows = np.flatnonzero(side == part)
        if len(rows):
            some = [ids[row] for row in rows.tolist()]
            splits[part] = Split(some, numbers[rows], choose_images(images, rows))
    if "train" not in splits or "validation" not in splits:
        raise BadDataset(
            f"{name} holds {len(ids)} usable samples: too few to keep any for validation; expected "
            f"some tens for each class{first_of(problems)}"
        )
    return Dataset(name, names, shape, splits, problems)


def _as_sample(given: Sample | tuple[Any, ...]) -> Sample:
    """The sample, with an id and a label that a card and a report can hold."""
    sample = given if isinstance(given, Sample) else Sample(*given)
    if isinstance(sample.id, str):
        sample = sample._replace(id=printable(sample.id))
    if isinstance(sample.label, str):
        sample = sample._replace(label=printable(sample.label))
    return sample


def _first(stream: Iterator[Sample]) -> Iterator[Sample]:
    """Enough samples to choose a shape by, but no more than a moderate amount of memory."""
    held = 0
    for sample in itertools.islice(stream, LOOKED_AT):
        yield sample
        held += _size(_source(sample))
        if held > _MAX_HELD_BYTES:
            return


def _size(source: Source) -> int:
    if isinstance(source, Path):
        return 0
    return len(source) if isinstance(source, bytes) else source.nbytes


def _source(sample: Sample) -> Source:
    if isinstance(sample.image, np.ndarray):
        return np.ascontiguousarray(sample.image)
    if isinstance(sample.image, (bytes, bytearray, memoryview)):
        return bytes(sample.image)
    if isinstance(sample.image, (str, os.PathLike)):
        return Path(sample.image)
    raise BadDataset(
        f"a sample's image is a {type(sample.image).__name__}; expected the bytes of an image file, "
        "its path, or a uint8 array"
    )


def _decode(sample: Sample, contract: InputContract) -> tuple[ImageArray, str]:
    """The pixels in the shape of the contract, and a name for their content."""
    source = _source(sample)
    if isinstance(source, np.ndarray):
        return bring_to_contract(source, contract), hashlib.sha256(source.data).hexdigest()[:32]
    if isinstance(source, Path):
        try:
            source = source.read_bytes()
        except OSError as error:
            raise BadImage(f"cannot read {sample.image!s}: {error.strerror}") from error
    return decode(source, contract), hashlib.sha256(source).hexdigest()[:32]


def _check_label(label: Any, known: set[str]) -> int | str:
    if isinstance(label, str):
        if known and label not in known:
            raise BadImage(f"its label is {label!r}, which is none of the classes")
        return label
    try:
        number = operator.index(label)
    except TypeError as error:
        raise BadImage(
            f"its label is a {type(label).__name__}; expected a class name or an index"
        ) from error
    highest = (len(known) or MAX_CLASSES) - 1
    if not 0 <= number <= highest:
        raise BadImage(f"its label is {number}; expected 0 to {highest}")
    return number


def _number(
    labels: list[int | str], classes: Sequence[str] | None, name: str
) -> tuple[list[str], npt.NDArray[np.int64]]:
    given = {label for label in labels if isinstance(label, str)}
    if classes is None and given and len(given) < len(set(labels)):
        raise BadDataset(
            f"some labels of {name} are names and some are numbers; expected `classes` with them"
        )
    if classes is not None:
        names = list(classes)
    elif given:
        names = sorted(given, key=natural_order)
    else:
        names = [str(number) for number in range(max(map(int, labels), default=-1) + 1)]
    if len(names) < 2:
        raise BadDataset(f"{name} holds {len(names)} classes; expected at least 2")
    check_classes(name, names)
    place = {label: number for number, label in enumerate(names)}
    numbers = [place[label] if isinstance(label, str) else label for label in labels]
    return names, np.array(numbers, np.int64)
