"""The labelled samples of one snapshot, and which of them a request selects."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from hemline_model import InputContract
from hemline_samples._order import Indices
from hemline_samples._plan import Mixed, OnePass, Plan
from hemline_samples._request import StreamRequest
from hemline_store import Snapshot
from hemline_store.tables import IMPORT, STREAM, TEST, TRAIN, VALIDATION

__all__ = ["ORIGINS", "SPLITS", "DataSet", "Flags", "plan_of"]

SPLITS: Final[Mapping[str, int]] = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
ORIGINS: Final[Mapping[str, int]] = {"import": IMPORT, "stream": STREAM}

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Parallel arrays over the N labelled samples of a snapshot, duplicates removed, in one fixed order."""

    snapshot: Snapshot
    contract: InputContract
    classes: tuple[str, ...]
    ids: Sequence[str]
    rows: Indices
    """int64 (N,): where the lake keeps the image."""
    labels: Indices
    """int64 (N,): index of the class."""
    splits: npt.NDArray[np.int8]
    """int8 (N,): a code of ``SPLITS``."""
    origins: npt.NDArray[np.int8]
    """int8 (N,): a code of ``ORIGINS``."""
    places: Indices
    """int64 (N,): place of the decoded image in the cache, -1 without one."""
    fresh_after: Callable[[Snapshot | None], Flags]
    """bool (N,): the stream samples that were labelled after a snapshot; None: all stream samples."""

    def count(self, split: str) -> int:
        """How many samples a split has."""
        return int(np.count_nonzero(self.splits == SPLITS[split]))


def plan_of(data: DataSet, request: StreamRequest) -> Plan:
    """The batches that a request describes.

    Raises:
        NotReady: the mix needs samples that there are not.
    """
    selected = data.splits == SPLITS[request.split]
    if request.origin is not None:
        selected &= data.origins == ORIGINS[request.origin]
    if request.labelled_since is not None:
        selected &= data.fresh_after(request.labelled_since)
    pool = np.flatnonzero(selected)
    if request.mix is None:
        return OnePass(pool, seed=request.seed, shard=request.shard, batch_size=request.batch_size)
    fresh = np.flatnonzero(selected & data.fresh_after(request.mix.fresh_since))
    return Mixed(
        pool,
        fresh,
        seed=request.seed,
        shard=request.shard,
        batch_size=request.batch_size,
        fresh_fraction=request.mix.fresh_fraction,
    )
