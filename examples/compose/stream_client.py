"""A client of the sample stream, made from the base service's proto alone: one pass over the training samples.

Any language's gRPC can do the same: `service MnistService` in libs/api/proto/mnist.proto is all that it needs to know.
"""

import collections
import sys
import time

import grpc

from hemline_api.grpc import mnist_pb2, mnist_pb2_grpc


def main() -> None:
    """Ask for one pass, say what came."""
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    labels: collections.Counter[int] = collections.Counter()
    size = 0
    started = time.monotonic()
    with grpc.insecure_channel(address) as channel:
        service = mnist_pb2_grpc.MnistServiceStub(channel)
        for sample in service.GetTrainingSamples(mnist_pb2.DataRequest(), wait_for_ready=True):
            labels[sample.label] += 1
            size += len(sample.image)
    seconds = time.monotonic() - started
    count = labels.total()
    print(f"{count} samples, {size} bytes, {count / seconds:.0f} samples/s")
    for label, number in sorted(labels.items()):
        print(f"  class {label}: {number}")


if __name__ == "__main__":
    main()
