"""Held-out samples, and what the two models say of them."""

from typing import Final

import numpy as np

from hemline_api.grpc import samples_pb2 as pb
from hemline_trainer._client import SampleClient, Samples

__all__ = ["fetch", "fresh_request", "frozen_request"]

_BATCH_IMAGES: Final = 256
_BATCH_BYTES: Final = 16 << 20
_ALL_BYTES: Final = 256 << 20


def frozen_request(
    snapshot: pb.Snapshot, *, limit: int, shape: tuple[int, int, int]
) -> pb.BatchRequest:
    """The validation split of what was imported: the same samples for every run on this data set.

    At most about ``limit`` samples, fewer where images are so large that they would not fit into 256 MiB.
    """
    return _request(snapshot, pb.ORIGIN_IMPORT, limit, shape)


def fresh_request(
    snapshot: pb.Snapshot,
    since: pb.Snapshot | None,
    *,
    limit: int,
    shape: tuple[int, int, int],
) -> pb.BatchRequest:
    """The validation split of the stream, as far as its labels are newer than ``since``; bounded as the frozen."""
    request = _request(snapshot, pb.ORIGIN_STREAM, limit, shape)
    if since is not None:
        request.labelled_since.CopyFrom(since)
    return request


def _request(
    snapshot: pb.Snapshot, origin: pb.Origin, limit: int, shape: tuple[int, int, int]
) -> pb.BatchRequest:
    image_bytes = shape[0] * shape[1] * shape[2]
    batch_size = max(1, min(_BATCH_IMAGES, _BATCH_BYTES // image_bytes))
    return pb.BatchRequest(
        snapshot=snapshot,
        split="validation",
        origin=origin,
        batch_size=batch_size,
        num_batches=-(-min(limit, _ALL_BYTES // image_bytes) // batch_size),
    )


def fetch(client: SampleClient, request: pb.BatchRequest, shape: tuple[int, int, int]) -> Samples:
    """All samples of a stream that ends.

    Raises:
        TrainerError: as ``SampleClient.batches``.
    """
    batches = list(client.batches(request, shape))
    if not batches:
        return Samples(np.empty((0, *shape), np.uint8), np.empty(0, np.int64))
    return Samples(
        np.concatenate([batch.images for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
    )
