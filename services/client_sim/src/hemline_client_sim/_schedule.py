"""When things happen: gaps between images, and how late a label comes.

Gaps are Gaussian, truncated at zero, drawn by the inverse of the distribution function (one draw an image). Label
delays are gamma-distributed with shape 2: like an exponential delay it has a long tail, but a label that comes in the
same instant as its image is rare, as it is for people who look at pictures; `exponential` (gamma with shape 1) is
there to choose.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

from hemline_client_sim._chance import Purpose, generator
from hemline_client_sim._errors import BadSchedule

__all__ = ["DelayShape", "Schedule"]

_STANDARD = NormalDist()


class DelayShape(StrEnum):
    """Distribution of label delays."""

    GAMMA = "gamma"
    EXPONENTIAL = "exponential"


_GAMMA_SHAPE = {DelayShape.GAMMA: 2.0, DelayShape.EXPONENTIAL: 1.0}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The timing of a stream.

    Args:
        seed: reproduces it.
        interval: mean of the gaps before truncation, in seconds at speed 1.
        spread: standard deviation of the gaps as a share of ``interval``. Up to 0.4 truncation moves the mean by
            less than one per cent.
        label_delay: mean delay of a label, in seconds at speed 1, counted from the sending of its image.
        delay_shape: distribution of that delay.
        speed: divides both.
        rate: images per second instead of ``interval``; ``speed`` does not change it.

    Raises:
        BadSchedule: a value is out of range.
    """

    seed: int
    interval: float = 5.0
    spread: float = 0.2
    label_delay: float = 120.0
    delay_shape: DelayShape = DelayShape.GAMMA
    speed: float = 1.0
    rate: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no stream can have."""
        for name, value in (("interval", self.interval), ("speed", self.speed)):
            _require(name, value, "more than 0", ok=value > 0)
        _require(
            "interval spread", self.spread, "0 (a regular beat) to 1", ok=0 <= self.spread <= 1
        )
        _require("label delay", self.label_delay, "0 or more", ok=self.label_delay >= 0)
        if self.rate is not None:
            _require("rate", self.rate, "more than 0", ok=self.rate > 0)

    @property
    def mean_gap(self) -> float:
        """Mean of the gaps before truncation, in real seconds."""
        return 1.0 / self.rate if self.rate is not None else self.interval / self.speed

    @property
    def mean_label_delay(self) -> float:
        """Mean delay of a label in real seconds."""
        return self.label_delay / self.speed

    def gap(self, n: int) -> float:
        """Seconds between image ``n - 1`` (for 0: the start) and image ``n``; more than 0."""
        if self.spread == 0:
            return self.mean_gap
        below_zero = _STANDARD.cdf(-1.0 / self.spread)
        # 1 - random() lies in (0, 1]: the truncated draw is then strictly positive.
        share = 1.0 - float(generator(self.seed, Purpose.GAP, n).random())
        z = _STANDARD.inv_cdf(min(below_zero + share * (1.0 - below_zero), 1.0 - 1e-16))
        return max(self.mean_gap * (1.0 + self.spread * z), self.mean_gap * 1e-6)

    def delay(self, n: int) -> float:
        """Seconds from the sending of image ``n`` to that of its label; 0 or more."""
        shape = _GAMMA_SHAPE[self.delay_shape]
        drawn = generator(self.seed, Purpose.LABEL_DELAY, n).gamma(shape)
        return float(drawn) * self.mean_label_delay / shape


def _require(name: str, value: float, expected: str, *, ok: bool) -> None:
    if not ok or not math.isfinite(value):
        raise BadSchedule(f"{name}: received {value}, expected {expected}")
