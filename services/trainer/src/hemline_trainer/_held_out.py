"""Held-out samples, and what the two models say of them."""

import numpy as np

from hemline_api.grpc import samples_pb2 as pb
from hemline_trainer._client import SampleClient, Samples

__all__ = ["fetch", "fresh_request", "frozen_request"]

_BATCH = 256


def frozen_request(snapshot: pb.Snapshot, *, limit: int) -> pb.BatchRequest:
    """The validation split of what was imported: the same samples for every run on this data set."""
    return pb.BatchRequest(
        snapshot=snapshot,
        split="validation",
        origin=pb.ORIGIN_IMPORT,
        batch_size=_BATCH,
        num_batches=-(-limit // _BATCH),
    )


def fresh_request(
    snapshot: pb.Snapshot, since: pb.Snapshot | None, *, limit: int
) -> pb.BatchRequest:
    """The validation split of the stream, as far as its labels are newer than ``since``."""
    request = pb.BatchRequest(
        snapshot=snapshot,
        split="validation",
        origin=pb.ORIGIN_STREAM,
        batch_size=_BATCH,
        num_batches=-(-limit // _BATCH),
    )
    if since is not None:
        request.labelled_since.CopyFrom(since)
    return request


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
