#!/usr/bin/env bash
# Prints the folder of a prometheus and a promtool: those on the PATH, else Debian's package, unpacked (not installed: no
# service is started) into ${XDG_CACHE_HOME:-~/.cache}/hemline/prometheus. Says why and fails where neither can be had.
set -euo pipefail
cache=${XDG_CACHE_HOME:-$HOME/.cache}/hemline

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
  dirname "$(command -v promtool)"
  exit
fi
folder=$cache/prometheus
if [[ ! -x $folder/usr/bin/promtool ]]; then
  missing() { echo "no Prometheus: $1; install prometheus and promtool, or use Debian or Ubuntu" >&2; exit 1; }
  command -v apt-get >/dev/null || missing "there is no apt-get to take it from"
  mkdir -p "$cache"
  # Several test runs may begin at once.
  exec 9>"$cache/prometheus.lock"
  flock 9
  if [[ ! -x $folder/usr/bin/promtool ]]; then
    echo "unpacking Debian's Prometheus into $folder ..." >&2
    if ! apt-cache show prometheus &>/dev/null; then
      as_root=()
      if ((EUID != 0)); then as_root=(sudo -n); fi
      "${as_root[@]}" apt-get -qq update >&2 || missing "apt knows no package prometheus, and its lists cannot be updated"
    fi
    rm -rf "$folder.new"
    mkdir -p "$folder.new/archive"
    (cd "$folder.new/archive" && apt-get -qq -o APT::Sandbox::User=root download prometheus >&2) ||
      missing "the package cannot be downloaded"
    dpkg -x "$folder.new"/archive/prometheus_*.deb "$folder.new"
    rm -r "$folder.new/archive"
    rm -rf "$folder"
    mv "$folder.new" "$folder"
  fi
fi
echo "$folder/usr/bin"
