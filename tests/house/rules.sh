#!/bin/sh
# Alerts and recording rules are sound, each alert has its runbook and each runbook its alert. Run by `make lint`.
set -eu
cd "$(dirname "$0")/../.."
rules=charts/hemline/files/rules

grep -ho 'alert: .*' $rules/*.yaml | cut -d' ' -f2 | sort -u | while read -r alert; do
  if [ ! -f "docs/runbooks/$alert.md" ]; then
    echo "error: the alert $alert has no docs/runbooks/$alert.md" >&2
    exit 1
  fi
done
for runbook in docs/runbooks/Hemline*.md; do
  alert=$(basename "$runbook" .md)
  if ! grep -qx " *- alert: $alert" $rules/*.yaml; then
    echo "error: $runbook belongs to no alert in $rules" >&2
    exit 1
  fi
done

if ! tools=$(tests/servers/prometheus.sh); then
  if [ "${CI:-}" = true ]; then
    echo "error: the rules cannot be checked" >&2
    exit 1
  fi
  echo "skipped: promtool check rules" >&2
  exit 0
fi
"$tools/promtool" check rules --lint=all --lint-fatal $rules/*.yaml
