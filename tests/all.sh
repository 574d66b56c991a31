#!/usr/bin/env bash
# Every test: those that need no server, then those that need real ones. Run by `make test-all`.
# The slow build (Kubernetes, once) goes on in the background while the first half runs.
set -euo pipefail
cd "$(dirname "$0")/.."
servers=$1 # pytest's marker expression of what needs a server or minutes

environment=$(tests/servers/install.sh)
eval "$environment"

kube=${HEMLINE_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/hemline/cluster}/bin/kube
build=
log=$(mktemp)
if [[ -z ${KUBECONFIG-}${KUBEBUILDER_ASSETS-} && ! -x $kube ]] && command -v go >/dev/null; then
  echo "building Kubernetes from its Go modules in the background (10 to 20 minutes, once); log: $log"
  nice -n 10 tests/cluster/kube/build.sh "$kube" >"$log" 2>&1 &
  build=$!
fi

failed=0
make test || failed=1
if [[ -n $build ]]; then
  started=$SECONDS
  wait "$build" || { echo "error: Kubernetes could not be built:" >&2; tail -n 40 "$log" >&2; }
  echo "waited $((SECONDS - started)) s more for Kubernetes"
fi
rm -f "$log"
.venv/bin/pytest -m "$servers" || failed=1
exit "$failed"
