#!/bin/bash
# pubsub.sh up | down | status | find   [--port N] [--work DIR]
# Google's Pub/Sub emulator on 127.0.0.1:PORT (default 28085), in memory: `down` forgets everything. Needs Java and the
# Cloud SDK's component pubsub-emulator: in CLOUDSDK_ROOT_DIR if that is set, else beside gcloud or in a usual place; `find`
# prints its jar, and 0.8.20 needs Maven for a mend. State lies in DIR (default ~/.cache/hemline).
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
  if [[ -n ${CLOUDSDK_ROOT_DIR-} ]]; then
    in_root "$CLOUDSDK_ROOT_DIR" && return
    fail "the Pub/Sub emulator is not installed in CLOUDSDK_ROOT_DIR=$CLOUDSDK_ROOT_DIR"
  fi
  gcloud=$(readlink -f "$(command -v gcloud)" || true)
  for root in "${gcloud%/bin/gcloud}" "$HOME/google-cloud-sdk" /usr/lib/google-cloud-sdk /opt/google-cloud-sdk; do
    [[ -n $root ]] && in_root "$root" && return
  done
  [[ -n $gcloud ]] && root=$("$gcloud" info --format='value(installation.sdk_root)' 2>/dev/null) && in_root "$root" && return
  fail "the Pub/Sub emulator is not installed: gcloud components install pubsub-emulator (it comes from Google alone)"
}

# Prints what belongs before the jar on the class path, if anything. 0.8.20 was built from two versions of gRPC: the end of a
# stream calls a method of io.grpc.InternalStatus that its copy lacks, so the emulator never learns that a consumer was
# killed or cut off, and goes on giving it messages until their leases end, again and again. The interface library of the
# version that the server's half is of has the method.
mend() {
  local version lib
  version=$(python3 - "$1" <<'EOF'
import re, sys, zipfile

if not zipfile.is_zipfile(sys.argv[1]):
    sys.exit()
with zipfile.ZipFile(sys.argv[1]) as jar:
    names = set(jar.namelist())
    read = lambda name: jar.read(f"io/grpc/{name}.class") if f"io/grpc/{name}.class" in names else b""
    wanted = b"(Lio/grpc/Status;Lio/grpc/Metadata;Z)Lio/grpc/StatusRuntimeException;"
    caller = read("internal/ServerImpl$JumpToApplicationThreadServerStreamListener")
    version = re.search(rb"\b1\.\d+\.\d+\b", read("internal/GrpcUtil"))
    if wanted in caller and wanted not in read("InternalStatus") and version:
        print(version.group().decode())
EOF
  )
  [[ -n $version ]] || return 0
  lib=$work/grpc-api-$version.jar
  if [[ ! -f $lib ]]; then
    local fresh
    fresh=$(mktemp -d "$work/grpc-api.XXXXXX")
    # shellcheck disable=SC2086
    if command -v mvn >/dev/null && mvn -q -B ${MAVEN_ARGS-} -Dartifact="io.grpc:grpc-api:$version" \
      -DoutputDirectory="$fresh" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy >"$fresh/log" 2>&1; then
      mv "$fresh/grpc-api-$version.jar" "$lib"
    fi
    rm -rf "$fresh"
  fi
  if [[ -f $lib ]]; then
    echo "$lib:"
  else
    echo "pubsub.sh: no grpc-api-$version.jar from Maven Central: a killed consumer's messages may come back late" >&2
  fi
}

up() {
  running && fail "already up on port $port"
  answers && fail "port $port is taken by another program"
  command -v "$java" >/dev/null || fail "java not found: install Java 17 (tests/servers/install.sh does)"
  local jar before started=$SECONDS
  jar=$(find_jar)
  rm -rf "$state"
  mkdir -p "$state"
  before=$(mend "$jar")
  setsid "$java" -Xms64m -Xmx512m -XX:+UseSerialGC -cp "$before$jar" com.google.cloud.pubsub.testing.v1.Main \
    --host=127.0.0.1 --port="$port" </dev/null >"$state/emulator.log" 2>&1 &
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
