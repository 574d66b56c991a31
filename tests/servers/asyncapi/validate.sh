#!/usr/bin/env bash
# Validates AsyncAPI documents with the project's own parser, kept in ${XDG_CACHE_HOME:-~/.cache}/hemline/asyncapi.
# Needs node and npm.   validate.sh FILE...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=3.6.6
modules=${XDG_CACHE_HOME:-$HOME/.cache}/hemline/asyncapi/$version
if [[ ! -f $modules/package.json ]]; then
  mkdir -p "$(dirname "$modules")"
  fresh=$(mktemp -d "$modules.XXXXXX")
  (cd "$fresh" && echo '{"private": true}' >package.json &&
    npm install --silent --no-audit --no-fund --ignore-scripts "@asyncapi/parser@$version" >&2)
  # Two runs may fetch at once: the first to finish wins.
  mv -T "$fresh" "$modules" 2>/dev/null || rm -rf "$fresh"
fi
for file; do node "$here/validate.mjs" "$modules" "$file"; done
