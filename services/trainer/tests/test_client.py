"""The client against servers that fail in every way a server can."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from hemline_api.grpc import samples_pb2 as pb
from hemline_api.grpc import samples_pb2_grpc
from hemline_trainer._client import SampleClient
from hemline_trainer._errors import Interrupted, StreamRefused, Unreachable

SHAPE = (2, 3, 1)


class Flaky(samples_pb2_grpc.SampleServiceServicer):
    """Streams batches that tell their position; ``failures`` says which status ends each call after two of them."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.asked = []
        self.spoil = lambda batch: None

    def StreamBatches(self, request, context):  # noqa: N802
        self.asked.append((request.position, request.num_batches))
        last = request.position + request.num_batches
        for count, position in enumerate(range(request.position, last)):
            if count == 2 and self.failures:
                context.abort(self.failures.pop(0), "as planned")
            batch = pb.SampleBatch(
                position=position, images=bytes([position % 256] * 12), labels=[position, 1]
            )
            self.spoil(batch)
            yield batch

    def TakeSnapshot(self, request, context):  # noqa: N802
        if self.failures:
            context.abort(self.failures.pop(0), "as planned")
        return pb.SnapshotReply(train_samples=7)


@pytest.fixture
def serve():
    servers = []

    def start(servicer):
        server = grpc.server(ThreadPoolExecutor(4))
        samples_pb2_grpc.add_SampleServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


@pytest.fixture
def stop():
    return threading.Event()


def read(address, stop, *, patience_s=60.0, num_batches=10):
    request = pb.BatchRequest(position=5, num_batches=num_batches)
    with SampleClient(address, patience_s=patience_s, stop=stop) as client:
        return list(client.batches(request, SHAPE))


TEMPORARY = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.ABORTED,
]


def test_a_stream_goes_on_where_it_broke_off(serve, stop):
    flaky = Flaky(*TEMPORARY)
    batches = read(serve(flaky), stop)
    assert [int(batch.labels[0]) for batch in batches] == list(range(5, 15))
    assert flaky.asked == [(5, 10), (7, 8), (9, 6), (11, 4), (13, 2)]
    np.testing.assert_array_equal(batches[3].images, np.full((2, *SHAPE), 8, np.uint8))


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND])
def test_what_is_refused_is_not_tried_again(serve, stop, code):
    flaky = Flaky(code)
    with pytest.raises(StreamRefused, match="as planned"):
        read(serve(flaky), stop)
    assert len(flaky.asked) == 1


def shift(batch):
    batch.position += 1


def cut(batch):
    batch.images = batch.images[:-1]


def empty(batch):
    batch.images = b""
    del batch.labels[:]


@pytest.mark.parametrize("spoil", [shift, cut, empty])
def test_batches_that_were_not_asked_for_are_refused(serve, stop, spoil):
    flaky = Flaky()
    flaky.spoil = spoil
    with pytest.raises(StreamRefused):
        read(serve(flaky), stop)


def test_short_calls_are_tried_again_too(serve, stop):
    address = serve(Flaky(*TEMPORARY))
    with SampleClient(address, patience_s=60, stop=stop) as client:
        assert client.take_snapshot(pb.TakeSnapshotRequest()).train_samples == 7


def test_patience_ends(stop):
    with pytest.raises(Unreachable, match=r"no sample server answered for 0\.2 s"):
        read("127.0.0.1:1", stop, patience_s=0.2)


def test_a_stop_ends_the_wait(stop):
    stop.set()
    with pytest.raises(Interrupted):
        read("127.0.0.1:1", stop)
