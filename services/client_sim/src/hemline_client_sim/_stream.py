"""The images of a stream: which one comes as number ``n``, what it looks like, and what its label will say.

Only even-indexed images of the test split travel; the odd ones are for evaluation alone.
"""

import io
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from PIL import Image

from hemline_client_sim._chance import Purpose, generator
from hemline_client_sim._drift import transform
from hemline_client_sim._errors import BadDrift, SimulatorError
from hemline_client_sim._phases import Phase, Phases
from hemline_model import Dataset

__all__ = ["Encoding", "Picture", "Stream"]


class Encoding(StrEnum):
    """How images travel."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    NPY = "npy"

    @property
    def content_type(self) -> str:
        """For the message."""
        return "application/x-npy" if self is Encoding.NPY else f"image/{self.value}"


@dataclass(frozen=True, slots=True)
class Picture:
    """What will be sent as image ``n``."""

    index: int  # in the test split
    label: int  # what it shows
    told: (
        int | None
    )  # the label that will be sent; None for a corrupt image, that nobody could label
    corrupt: bool


class Stream:
    """A pure function from (seed, ``n``, phase) to an image.

    Args:
        dataset: its test split is streamed.
        seed: reproduces order, pixels of noisy drifts, label noise and corruption.
        phases: the drifts.
        label_noise: share of labels that name another class, drawn evenly from the others.
        corrupt: share of images that are sent as bytes that are no image.
        encoding: of the intact ones.

    Raises:
        SimulatorError: the data set has no even-indexed test image, or a share is not in [0, 1].
        BadDrift: a class mix names a class that the data set does not have.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        seed: int,
        phases: Phases,
        label_noise: float = 0.0,
        corrupt: float = 0.0,
        encoding: Encoding = Encoding.PNG,
    ) -> None:
        """Choose what travels."""
        for name, share in (("label noise", label_noise), ("corrupt images", corrupt)):
            if not 0.0 <= share <= 1.0:
                raise SimulatorError(f"{name}: received {share}, expected a share from 0 to 1")
        if label_noise and len(dataset.classes) < 2:
            raise SimulatorError("label noise needs at least two classes")
        self._split = dataset.split("test")
        self._classes = dataset.classes
        self._seed = seed
        self._label_noise = label_noise
        self._corrupt = corrupt
        self._encoding = encoding
        self._even = np.arange(0, len(self._split), 2)
        if not len(self._even):
            raise SimulatorError(f"the test split of {dataset.name} is empty: nothing to stream")
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None
        self._weights = {
            phase.number: self._mix_weights(phase) for phase in phases.items if phase.mix
        }

    def picture(self, n: int, phase: Phase) -> Picture:
        """Choose image ``n``: without a class mix each even-indexed one once a pass, in an order of that pass."""
        if (weights := self._weights.get(phase.number)) is not None:
            rng = generator(self._seed, Purpose.MIX, n)
            index = int(rng.choice(self._even, p=weights))
        else:
            index = int(self._pass_order(n // len(self._even))[n % len(self._even)])
        label = int(self._split.labels[index])
        corrupt = generator(self._seed, Purpose.CORRUPTION, n).random() < self._corrupt
        return Picture(index, label, None if corrupt else self._told(n, label), corrupt)

    def encode(self, n: int, index: int, phase: Phase, *, corrupt: bool) -> bytes:
        """The body of the message: image ``index`` as the camera shows it in this phase."""
        rng = generator(self._seed, Purpose.PIXELS, n)
        pixels = transform(self._split.images[index], phase.changes, rng)
        data = _encode(pixels, self._encoding)
        return _damage(data, generator(self._seed, Purpose.CORRUPTION, n)) if corrupt else data

    @property
    def content_type(self) -> str:
        """Of every image, corrupt ones included: they claim to be what they are not."""
        return self._encoding.content_type

    def class_name(self, label: int) -> str:
        """For people."""
        return self._classes[label] if 0 <= label < len(self._classes) else f"class {label}"

    def _told(self, n: int, label: int) -> int:
        rng = generator(self._seed, Purpose.LABEL_NOISE, n)
        if rng.random() >= self._label_noise:
            return label
        others = [other for other in range(len(self._classes)) if other != label]
        return int(rng.choice(others))

    def _pass_order(self, number: int) -> npt.NDArray[np.int64]:
        if self._order is None or self._order[0] != number:
            rng = generator(self._seed, Purpose.ORDER, number)
            self._order = (number, rng.permutation(self._even))
        return self._order[1]

    def _mix_weights(self, phase: Phase) -> npt.NDArray[np.float64]:
        labels = self._split.labels[self._even]
        weights = np.zeros(len(labels))
        for name, weight in phase.mix.classes if phase.mix else ():
            chosen = labels == self._class_index(name)
            if not chosen.any():
                raise BadDrift(f"drift {phase.name!r}: the stream has no image of class {name!r}")
            weights[chosen] = weight / chosen.sum()
        total: npt.NDArray[np.float64] = weights / weights.sum()
        return total

    def _class_index(self, name: str) -> int:
        if name in self._classes:
            return self._classes.index(name)
        if name.isdecimal() and int(name) < len(self._classes):
            return int(name)
        raise BadDrift(f"class mix: received {name!r}, expected one of {', '.join(self._classes)}")


def _encode(pixels: npt.NDArray[np.uint8], encoding: Encoding) -> bytes:
    buffer = io.BytesIO()
    if encoding is Encoding.NPY:
        np.save(buffer, pixels, allow_pickle=False)
        return buffer.getvalue()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    match encoding:
        case Encoding.PNG:
            # At this size the fastest setting costs a few bytes and saves half of the time.
            image.save(buffer, "PNG", compress_level=1)
        case Encoding.JPEG:
            image.save(buffer, "JPEG", quality=95)
        case Encoding.WEBP:
            image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def _damage(data: bytes, rng: np.random.Generator) -> bytes:
    match int(rng.integers(3)):
        case 0:
            return data[: max(len(data) // 3, 1)]
        case 1:
            return b"this is text where an image should be\n"
        case _:
            return rng.bytes(len(data))
