"""What a client may ask of a stream, checked once."""

from dataclasses import dataclass, field
from typing import Final

from hemline_api.grpc import samples_pb2 as pb
from hemline_model import InputContract
from hemline_samples._errors import BadRequest, TooLarge
from hemline_samples._plan import Shard
from hemline_store import Snapshot

__all__ = ["MAX_BATCH_BYTES", "Mix", "StreamRequest", "parse_request", "snapshot_of", "to_wire"]

MAX_BATCH_BYTES: Final = 128 << 20
"""Image bytes in one batch at most: a stream holds a few batches in memory, and so does its client. Enough for 128
images of 512 x 512 in colour."""

_DEFAULT_BATCH: Final = 256
_MAX_BATCH: Final = 65_536
_MAX_SHARDS: Final = 65_536
_SPLITS: Final = ("train", "validation", "test")
_ORIGINS: Final = {pb.ORIGIN_ANY: None, pb.ORIGIN_IMPORT: "import", pb.ORIGIN_STREAM: "stream"}


@dataclass(frozen=True, slots=True)
class Mix:
    """Share of fresh samples in each batch (0 to 1), and since when a sample is fresh."""

    fresh_fraction: float
    fresh_since: Snapshot | None


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A checked ``BatchRequest``; ``num_batches`` None: to the end, where there is one."""

    snapshot: Snapshot | None
    split: str = "train"
    seed: int = 0
    shard: Shard = field(default_factory=Shard)
    position: int = 0
    batch_size: int = _DEFAULT_BATCH
    num_batches: int | None = None
    mix: Mix | None = None
    origin: str | None = None
    labelled_since: Snapshot | None = None

    def check_size(self, contract: InputContract) -> None:
        """Refuse batches that would not fit into a message.

        Raises:
            TooLarge: ask for smaller ones.
        """
        if self.batch_size * contract.num_bytes > MAX_BATCH_BYTES:
            raise TooLarge(
                f"batch_size: received {self.batch_size:,} images of {contract} ({contract.num_bytes:,} bytes each), "
                f"expected at most {MAX_BATCH_BYTES // contract.num_bytes:,} to a batch"
            )


def parse_request(request: pb.BatchRequest) -> StreamRequest:
    """Check a request.

    Raises:
        BadRequest: a field is out of range.
    """
    split = request.split or "train"
    if split not in _SPLITS:
        raise BadRequest(f"split: received {split!r}, expected one of {', '.join(_SPLITS)}")
    num_shards = request.num_shards or 1
    if num_shards > _MAX_SHARDS:
        raise BadRequest(f"num_shards: received {num_shards:,}, expected at most {_MAX_SHARDS:,}")
    if request.shard >= num_shards:
        raise BadRequest(
            f"shard: received {request.shard}, expected 0 to {num_shards - 1} (num_shards is {num_shards})"
        )
    batch_size = request.batch_size or _DEFAULT_BATCH
    if batch_size > _MAX_BATCH:
        raise BadRequest(f"batch_size: received {batch_size:,}, expected at most {_MAX_BATCH:,}")
    # Beyond this the numbers of samples would no longer fit into 63 bits.
    if request.position >= 1 << 30:
        raise BadRequest(f"position: received {request.position:,}, expected less than {1 << 30:,}")
    if request.origin not in _ORIGINS:
        raise BadRequest(f"origin: received {request.origin}, expected ANY, IMPORT or STREAM")
    return StreamRequest(
        snapshot=snapshot_of(request, "snapshot"),
        split=split,
        seed=request.seed,
        shard=Shard(request.shard, num_shards),
        position=request.position,
        batch_size=batch_size,
        num_batches=request.num_batches or None,
        mix=_parse_mix(request),
        origin=_ORIGINS[request.origin],
        labelled_since=snapshot_of(request, "labelled_since"),
    )


def _parse_mix(request: pb.BatchRequest) -> Mix | None:
    if not request.HasField("mix"):
        return None
    fraction = request.mix.fresh_fraction
    if not 0.0 <= fraction <= 1.0:  # also refuses NaN
        raise BadRequest(f"mix.fresh_fraction: received {fraction}, expected 0 to 1")
    return Mix(fraction, snapshot_of(request.mix, "fresh_since"))


def snapshot_of(
    message: pb.BatchRequest | pb.Mix | pb.SummaryRequest | pb.TakeSnapshotRequest, name: str
) -> Snapshot | None:
    """The snapshot in a message's field, None when it is not set."""
    if not message.HasField(name):
        return None
    wire: pb.Snapshot = getattr(message, name)
    return Snapshot(images=wire.images, labels=wire.labels, predictions=wire.predictions)


def to_wire(snapshot: Snapshot) -> pb.Snapshot:
    """A snapshot as it travels."""
    return pb.Snapshot(
        images=snapshot.images, labels=snapshot.labels, predictions=snapshot.predictions
    )
