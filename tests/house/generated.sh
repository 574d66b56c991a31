#!/bin/sh
# Generated files are current: generates them again beside the tree and compares. Run by `make lint`.
set -eu
cd "$(dirname "$0")/../.."
python="$PWD/.venv/bin/python"
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/libs"
cp -R libs/api "$copy/libs/api"
cp -R k8s "$copy/k8s"
cp -R charts "$copy/charts"
PYTHON="$python" "$copy/libs/api/generate.sh"
"$python" -m hemline_api.resources "$copy/k8s/crds"
"$python" -m hemline_operator.manifests "$copy/k8s"
"$python" -m hemline_api.asyncapi "$copy/asyncapi.yaml"
rm -r "$copy/charts/hemline/files/dashboards"
"$python" -m hemline_observability "$copy/charts/hemline/files/dashboards"
"$python" charts/generate.py "$copy/charts"
cp libs/broker/README.md "$copy/broker.md"
"$python" -m hemline_broker.testing "$copy/broker.md"
for folder in libs/api/src k8s charts; do
  if ! diff -r -x __pycache__ "$folder" "$copy/$folder"; then
    echo "error: generated files below $folder are not current; run: make generate" >&2
    exit 1
  fi
done
if ! diff docs/asyncapi.yaml "$copy/asyncapi.yaml"; then
  echo "error: docs/asyncapi.yaml is not current; run: make generate" >&2
  exit 1
fi
if ! diff libs/broker/README.md "$copy/broker.md"; then
  echo "error: the table in libs/broker/README.md is not current; run: make generate" >&2
  exit 1
fi
