#!/usr/bin/env bash
# Installs what the real-server tests need and prints, for `eval`, what to add to the environment.
#
#   Java and Maven   for Kafka: Debian's packages, as root or with sudo
#   Go               for Kubernetes: the Python package index's copy, into ${XDG_CACHE_HOME:-~/.cache}/hemline/go
#   OpenSSL          for the test cluster's certificates and Kafka's
#   Node and npm     for the AsyncAPI parser: Debian's packages
#   Prometheus       for rules and dashboards: Debian's package, unpacked into ${XDG_CACHE_HOME:-~/.cache}/hemline/prometheus
#
# Does nothing where they are there; says so and goes on where it cannot install (the tests then name what they skip, and
# fail with CI=true).
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hemline

missing=()
command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
command -v openssl >/dev/null || missing+=(openssl)
command -v npm >/dev/null || missing+=(nodejs npm)

if ((${#missing[@]})); then
  as_root=()
  if ((EUID != 0)); then as_root=(sudo -n); fi
  if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    echo "installing ${missing[*]} ..." >&2
    "${as_root[@]}" apt-get update -qq >&2
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      "${missing[@]}" >/dev/null
  else
    echo "missing: ${missing[*]}; install them to run the real-server tests" >&2
  fi
fi

tests/servers/go.sh

if prometheus=$(tests/servers/prometheus.sh); then printf 'export PATH=%q:$PATH\n' "$prometheus"; fi
