#!/bin/bash
# kafka.sh up | down | restart | status   [--port N] [--work DIR] [--version V] [--properties FILE] [--scram NAME=PASSWORD]
# An Apache Kafka broker (KRaft, one node) from Maven Central on 127.0.0.1:PORT (default 29092; PORT+1 is its
# controller's). Needs Java 17 and Maven; no root. `down` deletes its topics, `restart` keeps them; add --kill to stop
# it by SIGKILL. Jars and state live in DIR (default ~/.cache/hemline); MAVEN_ARGS is honoured. `up` appends FILE to the
# broker's settings and makes a user for each --scram (mechanisms SCRAM-SHA-256 and -512).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${XDG_CACHE_HOME:-$HOME/.cache}/hemline
version=4.1.2 port=29092 signal=TERM properties=/dev/null users=()
fail() { echo "kafka.sh: $*" >&2; exit 1; }
usage() { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }

action=${1-}
[[ $# -gt 0 ]] && shift
while (($#)); do
  case $1 in
    --port) port=${2:?--port needs a number}; shift 2 ;;
    --work) work=${2:?--work needs a folder}; shift 2 ;;
    --version) version=${2:?--version needs a version of Kafka}; shift 2 ;;
    --properties) properties=${2:?--properties needs a file}; shift 2 ;;
    --scram)
      [[ ${2-} == ?*=?* ]] || usage
      for mechanism in SCRAM-SHA-256 SCRAM-SHA-512; do
        users+=(--add-scram "$mechanism=[name=${2%%=*},password=${2#*=}]")
      done
      shift 2 ;;
    --kill) signal=KILL; shift ;;
    *) usage ;;
  esac
done
mkdir -p "$work"
work=$(cd "$work" && pwd)
lib=$work/kafka-$version
state=$work/kafka-$port
java=${JAVA_HOME:+$JAVA_HOME/bin/}java

running() { [[ -s $state/pid ]] && kill -0 "$(<"$state/pid")" 2>/dev/null; }
answers() { (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

jars() {
  [[ -d $lib ]] && return
  command -v mvn >/dev/null || fail "mvn not found: install Maven (tests/servers/install.sh does)"
  local fresh
  fresh=$(mktemp -d "$work/kafka-jars.XXXXXX")
  # shellcheck disable=SC2086
  mvn -q -B ${MAVEN_ARGS-} -f "$here/pom.xml" -Dkafka.version="$version" -DincludeScope=runtime \
    -DoutputDirectory="$fresh" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies
  # Two runs may fetch at once: the first to finish wins, both have the same jars.
  mv -T "$fresh" "$lib" 2>/dev/null || rm -rf "$fresh"
}

start() {
  local started=$SECONDS deadline
  setsid "$java" -Xms256m -Xmx512m -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$lib/*" \
    kafka.Kafka "$state/server.properties" </dev/null >>"$state/broker.log" 2>&1 &
  echo $! >"$state/pid"
  deadline=$((SECONDS + 120))
  until answers; do
    running || fail "the broker ended at once, see $state/broker.log"
    ((SECONDS < deadline)) || fail "the broker does not answer, see $state/broker.log"
    sleep 0.2
  done
  echo "up in $((SECONDS - started)) s on 127.0.0.1:$port"
}

stop() {
  running || return 0
  local pid
  pid=$(<"$state/pid")
  kill -"$signal" "$pid"
  for _ in {1..150}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  rm -f "$state/pid"
}

up() {
  running && fail "already up on port $port"
  answers && fail "port $port is taken by another program"
  command -v "$java" >/dev/null || fail "java not found: install Java 17 (tests/servers/install.sh does)"
  jars
  rm -rf "$state"
  mkdir -p "$state"
  sed -e "s|@port@|$port|" -e "s|@controller_port@|$((port + 1))|" -e "s|@data@|$state/data|" \
    "$here/server.properties" - <"$properties" >"$state/server.properties"
  # A fixed cluster id: one in 64 random ones starts with "-", which StorageTool takes for an option.
  "$java" -cp "$lib/*" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM2Qk -c "$state/server.properties" \
    "${users[@]}" >"$state/format.log" 2>&1 || fail "$(grep -m 1 -i exception "$state/format.log" || echo "see $state/format.log")"
  start
}

down() { stop; rm -rf "$state"; }

restart() {
  [[ -s $state/server.properties ]] || fail "not set up on port $port"
  stop
  start
}

status() {
  running || fail "not up on port $port"
  awk -v port="$port" '/VmRSS/ {printf "kafka on 127.0.0.1:%s, %d MB\n", port, $2 / 1024}' "/proc/$(<"$state/pid")/status"
}

case $action in
  up | down | restart | status) "$action" ;;
  *) usage ;;
esac
