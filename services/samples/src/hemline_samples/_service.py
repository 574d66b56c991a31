"""The two gRPC services, over a catalog."""

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Final

import grpc

from hemline_api.grpc import mnist_pb2, mnist_pb2_grpc, samples_pb2_grpc
from hemline_api.grpc import samples_pb2 as pb
from hemline_samples._catalog import Catalog
from hemline_samples._dataset import DataSet, plan_of
from hemline_samples._errors import BadRequest, NotReady, SamplesError
from hemline_samples._plan import Plan
from hemline_samples._replies import snapshot_reply, summary_reply
from hemline_samples._request import StreamRequest, parse_request, snapshot_of
from hemline_samples._serve_metrics import ServeMetrics
from hemline_samples._source import Batch
from hemline_samples._streams import StallClock, read_ahead
from hemline_store import InvalidOption, SnapshotGone, StoreError

__all__ = ["MnistService", "SampleService", "Streamer"]

_log = logging.getLogger(__name__)

_SMALL_BATCH: Final = 256


class Streamer:
    """Runs streams for both services, so many at a time and no more.

    Args:
        workers: what reads and decodes ahead.
        max_streams: streams open at once; each occupies a thread of the server.
    """

    def __init__(
        self, catalog: Catalog, workers: Executor, metrics: ServeMetrics, *, max_streams: int
    ) -> None:
        """Begin with none open."""
        self.catalog = catalog
        self.metrics = metrics
        self._workers = workers
        self._free = threading.Semaphore(max_streams)
        self._max_streams = max_streams
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End open streams after the batch they are at, so that their clients go on elsewhere."""
        self._stopping.set()

    def run(
        self, request: StreamRequest, service: str, context: grpc.ServicerContext
    ) -> Iterator[tuple[int, Batch]]:
        """Positions and batches of one stream; ends the call with a status where it cannot be served."""
        if not self._free.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{self._max_streams} streams are open, as many as this server runs: ask another, or again later",
            )
        try:
            with self.metrics.open_streams.track_inprogress(), as_status(context):
                yield from self._batches(request, service, context)
        finally:
            self._free.release()

    def _batches(
        self, request: StreamRequest, service: str, context: grpc.ServicerContext
    ) -> Iterator[tuple[int, Batch]]:
        contract = self.catalog.contract()
        request.check_size(contract.input)
        data: DataSet = self.catalog.data(request.snapshot)
        plan: Plan = plan_of(data, request)
        samples = self.metrics.samples.labels(service)
        image_bytes = self.metrics.bytes.labels(service)
        clock = StallClock(self.metrics.stall_seconds.inc)
        batches = read_ahead(
            data,
            plan,
            contract.source,
            self._workers,
            position=request.position,
            num_batches=request.num_batches,
            batch_bytes=request.batch_size * contract.input.num_bytes,
            clock=clock,
        )
        for position, batch in batches:
            yield position, batch
            samples.inc(len(batch.labels))
            image_bytes.inc(batch.images.nbytes)
            if self._stopping.is_set():
                context.abort(
                    grpc.StatusCode.UNAVAILABLE,
                    f"this server is stopping; ask another from position {position + 1}",
                )


class MnistService(mnist_pb2_grpc.MnistServiceServicer):  # type: ignore[misc]
    """The base service: one pass over the train split as it is now, one sample a message."""

    def __init__(self, streamer: Streamer) -> None:
        """Serve from ``streamer``."""
        self._streamer = streamer

    def GetTrainingSamples(  # noqa: N802 - the name in the proto
        self, request: mnist_pb2.DataRequest, context: grpc.ServicerContext
    ) -> Iterator[mnist_pb2.Sample]:
        """Stream every sample once, in the order of seed 0."""
        everything = StreamRequest(snapshot=None, batch_size=_SMALL_BATCH)
        for _, batch in self._streamer.run(everything, "mnist", context):
            for image, label in zip(batch.images, batch.labels.tolist(), strict=True):
                yield mnist_pb2.Sample(image=image.tobytes(), label=label)


class SampleService(samples_pb2_grpc.SampleServiceServicer):  # type: ignore[misc]
    """Snapshots, counts, batched streams and reports."""

    def __init__(self, streamer: Streamer) -> None:
        """Serve from ``streamer``."""
        self._streamer = streamer
        self._catalog = streamer.catalog

    def TakeSnapshot(  # noqa: N802
        self, request: pb.TakeSnapshotRequest, context: grpc.ServicerContext
    ) -> pb.SnapshotReply:
        """The data set as it is, or as it was when this tag was first asked for."""
        with as_status(context):
            samples = self._catalog.samples
            snapshot = (
                samples.tag(request.tag, samples.snapshot()) if request.tag else samples.snapshot()
            )
            data = self._catalog.data(snapshot)
            return snapshot_reply(data, snapshot_of(request, "fresh_since"))

    def GetSummary(  # noqa: N802
        self, request: pb.SummaryRequest, context: grpc.ServicerContext
    ) -> pb.Summary:
        """Counts to decide by."""
        with as_status(context):
            summary = self._catalog.summary(
                since=snapshot_of(request, "since"),
                window=request.window or None,
                answered_since=snapshot_of(request, "answered_since"),
            )
            return summary_reply(summary)

    def StreamBatches(  # noqa: N802
        self, request: pb.BatchRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.SampleBatch]:
        """Stream what was asked for, from any position."""
        with as_status(context):
            asked = parse_request(request)
        for position, batch in self._streamer.run(asked, "samples", context):
            yield pb.SampleBatch(
                position=position,
                images=batch.images.tobytes(),
                labels=batch.labels.tolist(),
                fresh=batch.fresh,
            )

    def GetReport(  # noqa: N802
        self, request: pb.ReportRequest, context: grpc.ServicerContext
    ) -> pb.ReportReply:
        """The report of a finished run."""
        with as_status(context):
            report = self._catalog.lake.reports.get(request.uid)
            if report is None:
                context.abort(
                    grpc.StatusCode.NOT_FOUND, f"there is no report of {request.uid!r} (yet)"
                )
            return pb.ReportReply(report=report)


@contextmanager
def as_status(context: grpc.ServicerContext) -> Iterator[None]:
    """Turn errors that a client can do something about into a status with the same words."""
    try:
        yield
    except (SamplesError, StoreError) as error:
        _log.info("refused: %s", error)
        context.abort(_code_of(error), str(error))


def _code_of(error: SamplesError | StoreError) -> grpc.StatusCode:
    if isinstance(error, BadRequest | InvalidOption):
        return grpc.StatusCode.INVALID_ARGUMENT
    if isinstance(error, SnapshotGone):
        return grpc.StatusCode.NOT_FOUND
    if isinstance(error, NotReady):
        return grpc.StatusCode.FAILED_PRECONDITION
    return grpc.StatusCode.UNAVAILABLE if error.retryable else grpc.StatusCode.INTERNAL
