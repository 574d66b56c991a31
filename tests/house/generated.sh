#!/bin/sh
# Generated files are current: generates them again beside the tree and compares. Run by `make lint`.
set -eu
cd "$(dirname "$0")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/libs"
cp -R libs/api "$copy/libs/api"
PYTHON="$PWD/.venv/bin/python" "$copy/libs/api/generate.sh"
if ! diff -r -x __pycache__ libs/api/src "$copy/libs/api/src"; then
  echo "error: the stubs in libs/api/src/hemline_api/grpc are not those of libs/api/proto; run: make generate" >&2
  exit 1
fi
