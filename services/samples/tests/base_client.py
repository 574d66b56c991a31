"""A client of the base service with nothing but grpcio: run by the tests in an interpreter that knows nothing of ours.

Arguments: the folder of installed packages, the folder of the generated stubs, the server's address.
"""

import hashlib
import importlib.util
import json
import sys

packages, stubs, address = sys.argv[1:]
# Appended by hand, so that the .pth files of editable installs are not followed.
sys.path += [stubs, packages]

import grpc  # noqa: E402
import mnist_pb2  # noqa: E402
import mnist_pb2_grpc  # noqa: E402

assert importlib.util.find_spec("hemline_api") is None
assert importlib.util.find_spec("hemline_samples") is None

digest, labels, sizes = hashlib.sha256(), [], set()
with grpc.insecure_channel(address) as channel:
    stub = mnist_pb2_grpc.MnistServiceStub(channel)
    for sample in stub.GetTrainingSamples(mnist_pb2.DataRequest()):
        digest.update(sample.image)
        labels.append(sample.label)
        sizes.add(len(sample.image))
print(json.dumps({"digest": digest.hexdigest(), "labels": labels, "sizes": sorted(sizes)}))
