"""The gRPC server of `serve`."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import grpc

from hemline_api.grpc import mnist_pb2_grpc, samples_pb2_grpc
from hemline_runtime import UsageFailure
from hemline_samples._catalog import Catalog
from hemline_samples._request import MAX_BATCH_BYTES
from hemline_samples._serve_metrics import ServeMetrics
from hemline_samples._service import MnistService, SampleService, Streamer

__all__ = ["ServeSettings", "Server"]

_SHORT_CALLS: Final = 8
_GRACE_S: Final = 5.0
_OPTIONS: Final = (
    ("grpc.max_send_message_length", MAX_BATCH_BYTES + (1 << 20)),
    ("grpc.max_receive_message_length", 1 << 20),
    # Two servers on one port would each get some of the calls, unnoticed.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How much a server takes on."""

    max_streams: int = 16
    """Streams open at once; one more is told to ask another server."""

    workers: int = 2
    """Threads that read and decode ahead, for all streams together."""


class Server:
    """Serves both services on one address, as a context manager.

    It runs on gRPC's threads, not on asyncio: a stream is a loop over arrays, and one sample a message, as the base
    service has it, costs half as much there.

    Raises:
        UsageFailure: the address is malformed or taken.
    """

    def __init__(
        self, address: str, catalog: Catalog, metrics: ServeMetrics, settings: ServeSettings
    ) -> None:
        """Bind the address; calls are answered inside ``with``."""
        self._workers = ThreadPoolExecutor(settings.workers, thread_name_prefix="decode")
        self._streamer = Streamer(catalog, self._workers, metrics, max_streams=settings.max_streams)
        self._server = grpc.server(
            ThreadPoolExecutor(settings.max_streams + _SHORT_CALLS, thread_name_prefix="grpc"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=settings.max_streams + _SHORT_CALLS,
        )
        mnist_pb2_grpc.add_MnistServiceServicer_to_server(
            MnistService(self._streamer), self._server
        )
        samples_pb2_grpc.add_SampleServiceServicer_to_server(
            SampleService(self._streamer), self._server
        )
        try:
            self.port: int = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise UsageFailure(
                f"--listen {address}: cannot be bound; expected a free HOST:PORT (port 0 picks one)"
            ) from error

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Streams end by themselves at their next batch; a client that has stopped reading is cut off.
        self._streamer.stop()
        self._server.stop(_GRACE_S).wait()
        self._workers.shutdown(wait=True, cancel_futures=True)
