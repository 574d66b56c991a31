#!/bin/sh
# Resolves requirements/*.in into pinned, hashed requirements/*.txt. Run by `make lock`; needs a package index.
# Versions stay as they are unless UPGRADE=1. The development set is resolved first and constrains the runtime set, so that both agree on every version.
set -eu
cd "$(dirname "$0")"
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check uv
compile() {
  "$tools/venv/bin/uv" pip compile --quiet --system-certs ${UPGRADE:+--upgrade} --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url "$@"
}
compile dev.in -o dev.txt
compile -c dev.txt runtime.in -o runtime.txt
