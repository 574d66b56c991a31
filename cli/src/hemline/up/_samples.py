"""Asking ``samples serve``: the summary, a snapshot, a canary's trial."""

from dataclasses import dataclass

import grpc

from hemline_api.grpc import samples_pb2, samples_pb2_grpc
from hemline_api.report import SnapshotRef
from hemline_operator.lifecycle import Fresh, Score, State, Trial

__all__ = ["SampleClient", "Seen", "VersionCount"]

_ALL_ANSWERS = 10_000_000


@dataclass(frozen=True, slots=True)
class VersionCount:
    """How one version did on the newest labelled answers."""

    version: int
    labelled: int
    correct: int
    answered: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One summary, and what it was asked for."""

    fresh: Fresh
    snapshot: SnapshotRef
    labelled: int
    stream_labelled: int
    waiting_for_label: int
    waiting_for_image: int
    versions: tuple[VersionCount, ...]


class SampleClient:
    """A client of the sample service, as an async context manager.

    Args:
        address: ``HOST:PORT`` of gRPC.
        timeout: seconds for one call. Every call raises ``grpc.aio.AioRpcError`` when it fails; asking again is safe.
    """

    def __init__(self, address: str, *, timeout: float = 10.0) -> None:
        """Connect lazily: gRPC goes on trying while the service is down."""
        self._channel = grpc.aio.insecure_channel(
            address,
            options=(
                # a service that was started again is found within a second, not within two minutes
                ("grpc.initial_reconnect_backoff_ms", 200),
                ("grpc.max_reconnect_backoff_ms", 1000),
            ),
        )
        self._stub = samples_pb2_grpc.SampleServiceStub(self._channel)
        self._timeout = timeout

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()

    async def summary(self, since: SnapshotRef | None) -> Seen:
        """Counts to decide by."""
        request = samples_pb2.SummaryRequest(since=_message(since))
        reply = await self._stub.GetSummary(request, timeout=self._timeout)
        return Seen(
            fresh=Fresh(since, int(reply.fresh_labelled)),
            snapshot=_reference(reply.snapshot),
            labelled=int(reply.labelled),
            stream_labelled=int(reply.stream_labelled),
            waiting_for_label=int(reply.waiting_for_label),
            waiting_for_image=int(reply.waiting_for_image),
            versions=tuple(
                VersionCount(one.version, one.labelled, one.correct, one.answered)
                for one in reply.versions
            ),
        )

    async def trial(self, state: State) -> Trial | None:
        """Counts of both versions since the canary's trial began; None when there is no trial to count."""
        if state.canary is None or state.canary.since is None:
            return None
        request = samples_pb2.SummaryRequest(
            window=_ALL_ANSWERS, answered_since=_message(state.canary.since)
        )
        reply = await self._stub.GetSummary(request, timeout=self._timeout)
        scores = {one.version: Score(one.labelled, one.correct) for one in reply.versions}
        return Trial(
            revision=state.rollout.revision,
            stable=scores.get(state.rollout.stable, Score(0, 0)),
            canary=scores.get(state.canary.version, Score(0, 0)),
        )

    async def snapshot(self, tag: str) -> SnapshotRef:
        """The data set as it was when this tag was first asked for."""
        request = samples_pb2.TakeSnapshotRequest(tag=tag)
        reply = await self._stub.TakeSnapshot(request, timeout=self._timeout)
        return _reference(reply.snapshot)


def _message(snapshot: SnapshotRef | None) -> samples_pb2.Snapshot | None:
    if snapshot is None:
        return None
    return samples_pb2.Snapshot(
        images=snapshot.images, labels=snapshot.labels, predictions=snapshot.predictions
    )


def _reference(message: samples_pb2.Snapshot) -> SnapshotRef:
    return SnapshotRef(
        images=int(message.images),
        labels=int(message.labels),
        predictions=int(message.predictions),
    )
