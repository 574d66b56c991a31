"""What a run finds out before it trains: its base, its snapshot, and whether there is enough to learn from."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import hemline_model as hm
from hemline_api.grpc import samples_pb2 as pb
from hemline_api.report import SnapshotRef
from hemline_store import Lake, Snapshot
from hemline_trainer._client import SampleClient
from hemline_trainer._errors import NotEnoughData, StreamRefused
from hemline_trainer._options import RunOptions
from hemline_trainer._state import RunState, WorkDirectory, settings_of

__all__ = ["Start", "begin", "require_enough", "to_wire"]


@dataclass(frozen=True, slots=True)
class Start:
    """What a run knows before it trains; ``resumed`` says whether an earlier process began it."""

    state: RunState
    reply: pb.SnapshotReply
    base: Path
    card: hm.Card
    steps: int
    resumed: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image of the run."""
        return (self.reply.height, self.reply.width, self.reply.channels)

    @property
    def fresh_since(self) -> pb.Snapshot | None:
        """Since when a sample is fresh, as it travels."""
        since = self.state.fresh_since
        return to_wire(since) if since is not None else None


def begin(
    options: RunOptions, work: WorkDirectory, lake: Lake, client: SampleClient, *, steps: int
) -> Start:
    """Fetch the base, take (or take up again) the snapshot, and remember both.

    Raises:
        StreamRefused: the sample server sends what the base version does not take.
        TrainerError, StoreError: the server or the lake cannot be used.
    """
    base = lake.models.fetch(options.base, work.models)
    card = hm.read_card(base)
    known = work.load()
    since = known.fresh_since if known else _fresh_since(options, card)
    request = pb.TakeSnapshotRequest(tag=options.uid)
    if since is not None:
        request.fresh_since.CopyFrom(to_wire(since))
    reply = client.take_snapshot(request)
    _check_contract(reply, card, options.base)
    state = RunState(
        uid=options.uid,
        base=options.base,
        started_at=known.started_at if known else datetime.now(UTC),
        snapshot=_from_wire(reply.snapshot),
        fresh_since=since,
        settings=settings_of(options, steps=steps),
    )
    if state != known:
        # A checkpoint of another base, snapshot or schedule would be refused, or worse, used.
        work.forget_training()
        work.save(state)
    return Start(state, reply, base, card, steps, resumed=state == known)


def require_enough(start: Start, options: RunOptions) -> None:
    """Say so before the training when its outcome could not be judged.

    Raises:
        NotEnoughData: too few new labelled samples to train on, or held out to judge by.
    """
    reply = start.reply
    for count, least, what in (
        (reply.fresh_train_samples, options.min_fresh, "to train on"),
        (reply.fresh_validation_samples, options.gate.min_fresh_samples, "held out to judge by"),
    ):
        if count < least:
            raise NotEnoughData(
                f"the snapshot has {count:,} new labelled samples {what}, expected at least {least:,}"
            )


def to_wire(snapshot: SnapshotRef | Snapshot) -> pb.Snapshot:
    """A snapshot as it travels."""
    return pb.Snapshot(
        images=snapshot.images, labels=snapshot.labels, predictions=snapshot.predictions
    )


def _from_wire(snapshot: pb.Snapshot) -> SnapshotRef:
    return SnapshotRef(
        images=snapshot.images, labels=snapshot.labels, predictions=snapshot.predictions
    )


def _fresh_since(options: RunOptions, card: hm.Card) -> SnapshotRef | None:
    given = options.fresh_since
    if given is not None:
        return SnapshotRef(images=given.images, labels=given.labels, predictions=given.predictions)
    return SnapshotRef.model_validate(card.snapshot) if card.snapshot else None


def _check_contract(reply: pb.SnapshotReply, card: hm.Card, base: int) -> None:
    contract = (reply.height, reply.width, reply.channels)
    if contract == card.input.shape and list(reply.class_names) == card.classes:
        return
    raise StreamRefused(
        f"the sample server sends {'x'.join(map(str, contract))} images of {len(reply.class_names)} classes, version "
        f"{base} takes {card.input} of {len(card.classes)}: the newest published version has another input or other "
        "classes; start from that one"
    )
