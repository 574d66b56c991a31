# common.sh: settings that every script of the kit shares. Sourced without arguments; takes --work DIR out of "$@".
# shellcheck shell=bash disable=SC2034

kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=${HEMLINE_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/hemline/cluster}
kept=()
while (($#)); do
  case $1 in
    --work) work=${2:?--work needs a folder}; shift 2 ;;
    *) kept+=("$1"); shift ;;
  esac
done
set -- ${kept[@]+"${kept[@]}"}
mkdir -p "$work"
work=$(cd "$work" && pwd)
export HEMLINE_CLUSTER=$work

bin=$work/bin      # binaries built or downloaded: kept by `down`
debs=$work/debs    # Debian packages, unpacked: kept by `down`
images=$work/images # image archives: kept by `down`
run=${HEMLINE_CLUSTER_RUN:-$work/run} # state of the running cluster: removed by `down`
export PATH=$bin:$PATH

link=hemline0             # the host's end of the cable to the node
host_ip=10.251.0.1        # the host as pods see it; Kafka listens here
node_ip=10.251.0.2        # the node: API server and kubelet
pod_cidr=10.252.0.0/24
service_cidr=10.253.0.0/24
api_service_ip=10.253.0.1
dns_service_ip=10.253.0.10

fail() { echo "$(basename "$0"): $*" >&2; exit 1; }

# wait_for SECONDS WHAT COMMAND...: run COMMAND until it succeeds.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" &>/dev/null; do
    ((SECONDS < deadline)) || fail "gave up waiting for $what"
    sleep 0.2
  done
}

# render FILE: a template of node/ with its @name@ placeholders filled in.
render() {
  sed -e "s|@run@|$run|g" -e "s|@cni@|$debs/usr/lib/cni|g" -e "s|@node_ip@|$node_ip|g" \
    -e "s|@pod_cidr@|$pod_cidr|g" -e "s|@dns_service_ip@|$dns_service_ip|g" "$kit/node/$1"
}

# unpack_debs DIR PACKAGE...: Debian packages, with what they need that is not installed here, unpacked into DIR.
unpack_debs() {
  local dir=$1 missing deb
  shift
  [[ -d $dir ]] && return
  rm -rf "$dir.new"
  mkdir -p "$dir.new/archives"
  apt-cache show "$@" &>/dev/null || apt-get -q update
  mapfile -t missing < <(apt-get -s --no-install-recommends install "$@" | awk '/^Inst/ && $3 !~ /^\[/ {print $2}')
  (cd "$dir.new/archives" && apt-get -q -o APT::Sandbox::User=root download "$@" ${missing[@]+"${missing[@]}"})
  for deb in "$dir.new"/archives/*.deb; do dpkg -x "$deb" "$dir.new"; done
  rm -r "$dir.new/archives"
  mv "$dir.new" "$dir"
}

# pip_target DIR PACKAGE...: Python packages installed into DIR, as a layer of an image or for use here.
pip_target() {
  python3 -m pip install -q --root-user-action=ignore --no-warn-conflicts --target "$1.new" "${@:2}"
  mv "$1.new" "$1"
}
