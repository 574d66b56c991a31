#!/bin/bash
# pubsub.sh up | down | status | find   [--port N] [--work DIR]
# Google's Pub/Sub emulator on 127.0.0.1:PORT (default 28085), in memory: `down` forgets everything. Needs Java and the
# Cloud SDK's component pubsub-emulator, found through CLOUDSDK_ROOT_DIR or gcloud; `find` prints its jar.
# State lies in DIR (default ~/.cache/hemline).
set -euo pipefail
work=${XDG_CACHE_HOME:-$HOME/.cache}/hemline
port=28085
fail() { echo "pubsub.sh: $*" >&2; exit 1; }
usage() { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }

action=${1-}
[[ $# -gt 0 ]] && shift
while (($#)); do
  case $1 in
    --port) port=${2:?--port needs a number}; shift 2 ;;
    --work) work=${2:?--work needs a folder}; shift 2 ;;
    *) usage ;;
  esac
done
state=$work/pubsub-$port
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

running() { [[ -s $state/pid ]] && kill -0 "$(<"$state/pid")" 2>/dev/null; }
answers() { (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

in_root() {
  local jar
  for jar in "$1"/platform/pubsub-emulator/lib/cloud-pubsub-emulator-*.jar; do
    [[ -f $jar ]] && { echo "$jar"; return; }
  done
  return 1
}

# The Cloud SDK's folder: named, where gcloud lies, a usual one, or what gcloud says (a second of its time).
find_jar() {
  local gcloud root
  gcloud=$(readlink -f "$(command -v gcloud)" || true)
  for root in "${CLOUDSDK_ROOT_DIR-}" "${gcloud%/bin/gcloud}" "$HOME/google-cloud-sdk" /usr/lib/google-cloud-sdk \
    /opt/google-cloud-sdk; do
    [[ -n $root ]] && in_root "$root" && return
  done
  [[ -n $gcloud ]] && root=$("$gcloud" info --format='value(installation.sdk_root)' 2>/dev/null) && in_root "$root" && return
  fail "the Pub/Sub emulator is not installed: gcloud components install pubsub-emulator (it comes from Google alone)"
}

up() {
  running && fail "already up on port $port"
  answers && fail "port $port is taken by another program"
  command -v "$java" >/dev/null || fail "java not found: install Java 17 (tests/servers/install.sh does)"
  local jar started=$SECONDS
  jar=$(find_jar)
  rm -rf "$state"
  mkdir -p "$state"
  setsid "$java" -Xms64m -Xmx512m -XX:+UseSerialGC -jar "$jar" --host=127.0.0.1 --port="$port" \
    </dev/null >"$state/emulator.log" 2>&1 &
  echo $! >"$state/pid"
  until answers; do
    running || fail "the emulator ended at once, see $state/emulator.log"
    ((SECONDS - started < 120)) || fail "the emulator does not answer, see $state/emulator.log"
    sleep 0.2
  done
  echo "up in $((SECONDS - started)) s on 127.0.0.1:$port"
}

down() {
  if running; then
    local pid
    pid=$(<"$state/pid")
    kill -KILL "$pid" # it keeps nothing
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  fi
  rm -rf "$state"
}

case $action in
  up) up ;;
  down) down ;;
  find) find_jar ;;
  status) if running; then echo "up on 127.0.0.1:$port"; else echo down; exit 1; fi ;;
  *) usage ;;
esac
