#!/bin/bash
# images/build.sh [--kind] [NAME...]: builds the images (all, or those named: operator inference samples trainer client-sim
# trainer-gpu) with docker, podman or buildah, whichever is there, and prints what each adds to its base. With --kind they
# are also loaded into the kind cluster. Run by `make images` and `make images-kind`.
#
#   ENGINE     docker, podman, buildah, or test: the daemonless builder of tests/cluster, which needs root and Debian
#   PREFIX     what stands before /NAME:VERSION in a reference (hemline)
#   VERSION    the tag (the version of the packages); trainer-gpu gets VERSION-gpu as a tag of trainer
#   BASE       the base image, best pinned by its digest (python:3.11-slim)
#   PIP_INDEX_URL  the package index, where it is not the public one
#   KIND_CLUSTER   the kind cluster (kind)
set -euo pipefail
cd "$(dirname "$0")/.."

default=(operator inference samples client-sim trainer)
prefix=${PREFIX:-hemline}
base=${BASE:-python:3.11-slim}
# Every package has the same version; a test holds them to it.
version=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' cli/pyproject.toml)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
archives=${HEMLINE_CLUSTER:-${XDG_CACHE_HOME:-$HOME/.cache}/hemline/cluster}/images
fail() { echo "images/build.sh: $*" >&2; exit 1; }

describe() { # NAME: sets file, target and ref
  target=() ref=$prefix/$1:$version
  case $1 in
    operator) file=operator/Dockerfile ;;
    inference | samples) file=services/$1/Dockerfile ;;
    client-sim) file=services/client_sim/Dockerfile ;;
    trainer) file=services/trainer/Dockerfile target=(--target cpu) ;;
    trainer-gpu) file=services/trainer/Dockerfile target=(--target gpu) ref=$prefix/trainer:$version-gpu ;;
    *) fail "no image is called $1; there are ${default[*]} trainer-gpu" ;;
  esac
}

find_engine() {
  if docker info &>/dev/null; then echo docker
  elif command -v podman >/dev/null; then echo podman
  elif command -v buildah >/dev/null; then echo buildah
  elif [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; then echo test
  else fail "no docker daemon, podman or buildah here: install one of them"
  fi
}

build() { # NAME
  local options=(--build-arg "BASE=$base" ${PIP_INDEX_URL:+--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"}
    ${target[@]+"${target[@]}"} -f "$file")
  local labels=(--label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.base.name=$base")
  case $engine in
    docker) DOCKER_BUILDKIT=1 docker build --quiet "${options[@]}" "${labels[@]}" --label "org.opencontainers.image.revision=$revision" -t "$ref" . ;;
    podman | buildah) "$engine" build --quiet --layers "${options[@]}" "${labels[@]}" --label "org.opencontainers.image.revision=$revision" -t "$ref" . ;;
    # No revision here: a commit that changes nothing in an image shall not make a new one.
    test) tests/cluster/dockerfile.sh "$ref" . --out "$archives/hemline-$1.tar" --quiet "${options[@]}" "${labels[@]}" ;;
  esac >/dev/null
}

bytes() { # REFERENCE [ARCHIVE]
  case $engine in
    docker) docker image inspect --format '{{.Size}}' "$1" ;;
    podman) podman image inspect --format '{{.Size}}' "$1" ;;
    buildah) buildah images --json "$1" | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["size"])' ;;
    test) stat -c %s "$2" ;;
  esac
}

load() { # NAME
  case $engine in
    docker) kind load docker-image --name "${KIND_CLUSTER:-kind}" "$ref" ;;
    test) kind load image-archive --name "${KIND_CLUSTER:-kind}" "$archives/hemline-$1.tar" ;;
    *)
      "$engine" push -q "$ref" "docker-archive:$scratch/$1.tar:$ref"
      kind load image-archive --name "${KIND_CLUSTER:-kind}" "$scratch/$1.tar"
      rm "$scratch/$1.tar" ;;
  esac
}

kind=
if [[ ${1-} = --kind ]]; then kind=yes; shift; fi
case ${1-} in -*) sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
names=("$@")
(($#)) || names=("${default[@]}")
for name in "${names[@]}"; do describe "$name"; done # a wrong name is told before the first build
[[ -z $kind ]] || command -v kind >/dev/null || fail "kind not found: --kind loads the images into its cluster"
engine=${ENGINE:-$(find_engine)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

if [[ $engine = test ]]; then # the same archives are asked for by tests that run at once
  mkdir -p "$archives"
  exec {lock}>"$archives/build.lock"
  flock "$lock"
fi

echo "building with $engine on $base" >&2
table=()
for name in "${names[@]}"; do
  describe "$name"
  started=$SECONDS
  build "$name"
  added=$(($(bytes "$ref" "$archives/hemline-$name.tar") - $(bytes "$base" "$archives/python-3.11.tar")))
  table+=("$(printf '%-40s %6d MB beside its base  %4d s' "$ref" $((added / 1000000)) $((SECONDS - started)))")
  [[ -z $kind ]] || load "$name"
done
printf '%s\n' "${table[@]}"
