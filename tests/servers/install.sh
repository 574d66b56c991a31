#!/usr/bin/env bash
# Installs what the real-server tests need: Java and Maven for Kafka. Debian and Ubuntu, as root or with sudo.
# Does nothing where they are there; says so and goes on where it cannot install (the tests then name what they skip,
# and fail with CI=true).
set -euo pipefail

missing=()
command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || missing+=(maven)

if ((${#missing[@]})); then
  as_root=()
  if ((EUID != 0)); then as_root=(sudo -n); fi
  if command -v apt-get >/dev/null && "${as_root[@]}" true 2>/dev/null; then
    echo "installing ${missing[*]} ..."
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "missing: ${missing[*]}; install them to run the real-server tests" >&2
  fi
fi
