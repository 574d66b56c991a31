#!/bin/sh
# Generates the gRPC stubs from proto/. Run by `make generate`.
set -eu
cd "$(dirname "$0")"
python=${PYTHON:-python}
out=src/hemline_api/grpc
"$python" -m grpc_tools.protoc -I proto --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" \
  proto/mnist.proto proto/samples.proto
# protoc writes absolute imports of sibling modules, which only work at the top of sys.path.
sed -i -E 's/^import (mnist|samples)_pb2 as/from hemline_api.grpc import \1_pb2 as/' "$out"/*_pb2_grpc.py
