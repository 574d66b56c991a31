"""The client of the sample service: every call survives the death of the server it was talking to."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

import grpc
import numpy as np
import numpy.typing as npt

from hemline_api.grpc import samples_pb2 as pb
from hemline_api.grpc import samples_pb2_grpc
from hemline_trainer._errors import StreamRefused
from hemline_trainer._retry import Patience, as_trainer_error, is_temporary

__all__ = ["SampleClient", "Samples"]

_MAX_MESSAGE: Final = 160 << 20
_CALL_TIMEOUT_S: Final = 120.0
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    # A server that was killed comes back within seconds; gRPC's own pause grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A machine that vanished sends no goodbye: without pings a stream would wait for it for ever.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)

_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class Samples:
    """One batch: uint8 images (N, height, width, channels), int64 labels (N,)."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


class SampleClient:
    """Calls to ``address`` (``HOST:PORT``, or any name that gRPC resolves to several servers).

    Args:
        address: where the servers are.
        patience_s: how long to go on without any progress before a call is given up.
        stop: set when the run is to end; calls then end soon.
    """

    def __init__(self, address: str, *, patience_s: float, stop: threading.Event) -> None:
        """Prepare; the first call connects."""
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._stub = samples_pb2_grpc.SampleServiceStub(self._channel)
        self._patience_s = patience_s
        self._stop = stop

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    def take_snapshot(self, request: pb.TakeSnapshotRequest) -> pb.SnapshotReply:
        """The data set as it is, or as it was when this tag was first asked for.

        Raises:
            StreamRefused: the server cannot take one, and trying again would not help.
            Unreachable: no server answered for as long as allowed.
            Interrupted: the run was asked to stop.
        """
        reply: pb.SnapshotReply = self._call("snapshot", self._stub.TakeSnapshot, request)
        return reply

    def batches(self, request: pb.BatchRequest, shape: tuple[int, int, int]) -> Iterator[Samples]:
        """The stream of ``request``; when a server dies, the rest of it from another.

        ``shape`` is (height, width, channels) as the snapshot's reply said.

        Raises:
            StreamRefused: the server refuses the request, or batches are missing or of another shape.
            Unreachable: no server answered for as long as allowed.
            Interrupted: the run was asked to stop.
        """
        patience = Patience(self._patience_s, self._stop)
        wanted = pb.BatchRequest()
        wanted.CopyFrom(request)
        while True:
            call = self._stub.StreamBatches(wanted)
            try:
                for message in call:
                    yield _samples(message, wanted.position, shape)
                    patience.progressed()
                    wanted.position += 1
                    if wanted.num_batches:
                        wanted.num_batches -= 1
                        if not wanted.num_batches:
                            return
            except grpc.RpcError as error:
                if not is_temporary(error):
                    raise as_trainer_error(error, what="stream") from error
                patience.wait(error)
            else:
                return
            finally:
                call.cancel()

    def _call(self, what: str, method: Callable[..., _Reply], request: object) -> _Reply:
        patience = Patience(self._patience_s, self._stop)
        while True:
            try:
                return method(request, timeout=_CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                if not is_temporary(error):
                    raise as_trainer_error(error, what=what) from error
                patience.wait(error)


def _samples(message: pb.SampleBatch, position: int, shape: tuple[int, int, int]) -> Samples:
    if message.position != position:
        raise StreamRefused(
            f"stream: received batch {message.position:,}, expected batch {position:,}"
        )
    count = len(message.labels)
    expected = count * shape[0] * shape[1] * shape[2]
    if not count or len(message.images) != expected:
        raise StreamRefused(
            f"stream: batch {position:,} holds {count:,} labels and {len(message.images):,} image bytes, expected "
            f"{expected:,} for images of {shape[0]}x{shape[1]}x{shape[2]}: were the model's input or the lake changed?"
        )
    images = np.frombuffer(message.images, np.uint8).reshape(count, *shape)
    return Samples(images, np.fromiter(message.labels, np.int64, count))
