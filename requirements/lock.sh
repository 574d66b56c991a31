#!/bin/bash
# Resolves requirements/*.in and requirements/images/*.in into pinned, hashed *.txt. Run by `make lock`; needs a package
# index. Versions stay as they are unless UPGRADE=1. The development set is resolved first and constrains the others, so
# that all agree on every version.
set -euo pipefail
cd "$(dirname "$0")/.." # where the paths of our own packages begin
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet --disable-pip-version-check uv

compile() { # NAME [OPTIONS]
  "$tools/venv/bin/uv" pip compile --quiet --system-certs ${UPGRADE:+--upgrade} --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url "requirements/$1.in" -o "requirements/$1.txt" "${@:2}"
}

compile dev
compile runtime -c requirements/dev.txt

# Our own packages come from the source tree, never from an index: their requirements are resolved, they are not emitted.
mapfile -t own < <(sed -n 's/^name = "\(.*\)"/--no-emit-package=\1/p' libs/*/pyproject.toml services/*/pyproject.toml \
  operator/pyproject.toml)
for file in requirements/images/*.in; do
  name=images/$(basename "$file" .in) overrides=requirements/images/$(basename "$file" .in).overrides
  [[ -e $overrides ]] && overriding=(--override "$overrides") || overriding=()
  compile "$name" -c requirements/dev.txt "${own[@]}" ${overriding[@]+"${overriding[@]}"}
done
