#!/usr/bin/env bash
# Every test: those that need no server, then those that need real ones. Run by `make test-all`.
# The slow builds (Kubernetes, once; the images) go on in the background meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
servers=$1 # pytest's marker expression of what needs a server or minutes

environment=$(tests/servers/install.sh)
eval "$environment"

# Kubernetes first, which the second half cannot begin without; then the node's other parts and the images, which only its
# last tests ask for: they wait for what is not ready by then.
slow_builds() {
  [[ -x $kube ]] || tests/cluster/kube/build.sh "$kube"
  echo "Kubernetes after $SECONDS s"
  if [[ -z ${KUBECONFIG-} && $EUID -eq 0 ]]; then
    tests/cluster/cluster.sh build
    echo "what a node needs after $SECONDS s"
    ENGINE=test images/build.sh
    echo "the images after $SECONDS s"
  fi
}

kube=${HEMLINE_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/hemline/cluster}/bin/kube
build=
log=$(mktemp)
if [[ -z ${KUBECONFIG-}${KUBEBUILDER_ASSETS-} ]] && command -v go >/dev/null; then
  [[ -x $kube ]] || echo "building Kubernetes from its Go modules in the background (10 to 20 minutes, once)"
  (set -e; renice -n 10 $BASHPID >/dev/null; slow_builds) >"$log" 2>&1 &
  build=$!
fi

failed=0
make test || failed=1
if [[ -n $build ]]; then
  started=$SECONDS
  while [[ ! -x $kube ]] && kill -0 "$build" 2>/dev/null; do sleep 1; done
  echo "waited $((SECONDS - started)) s more for Kubernetes"
  [[ -x $kube ]] || { echo "error: Kubernetes could not be built:" >&2; tail -n 40 "$log" >&2; }
fi
.venv/bin/pytest -m "$servers" || failed=1
if [[ -n $build ]]; then
  wait "$build" || { echo "error: the slow builds failed:" >&2; tail -n 40 "$log" >&2; failed=1; }
  cat "$log"
fi
rm -f "$log"
exit "$failed"
