#!/bin/sh
# Runs in the build stages of the Dockerfiles, nowhere else.
#
#   install.sh dependencies FILE     makes the environment /opt/hemline with the pinned, hashed requirements in FILE
#   install.sh packages FOLDER...    installs our own packages beside it, under /own/opt/hemline: a layer of their own, so
#                                    that a new version of ours is a pull of a few megabytes
#
# Wheels only: nothing is compiled, so there is no compiler even here.
set -eu
environment=/opt/hemline
python=$environment/bin/python
pip() { python3 -m pip --disable-pip-version-check --no-input --quiet "$@"; }
site_packages() { echo "$1"/lib/python3.*/site-packages; }

# Bytecode is compiled here, since the root file system is read-only where it runs. It is checked against nothing: the
# sources in an image never change, while their times do (COPY, reproducible builds).
compile() { "$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash "$1"; }

# What a library ships for those who build on it or test it; of ONNX Runtime that is the library for other languages, which
# its Python module does not load.
trim() {
  find "$1" -depth -type d \( -name tests -o -path '*/onnx/backend/test' -o -name include -not -path '*/nvidia/*' \) \
    -exec rm -rf {} +
  find "$1" -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.a' -o -name '*_test.py' -o \
    -path '*/onnxruntime/capi/libonnxruntime.so.*' \) -delete
}

dependencies() {
  python3 -m venv --without-pip "$environment"
  pip --python "$python" install --no-compile --only-binary :all: --require-hashes -r "$1"
  trim "$(site_packages "$environment")"
  compile "$(site_packages "$environment")"
}

packages() {
  python3 -m venv --without-pip /build
  pip --python /build/bin/python install --only-binary :all: --require-hashes -r requirements/build.txt
  for folder in "$@"; do
    pip --python /build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /wheels "./$folder"
  done
  python3 -m venv --without-pip "$environment"
  pip --python "$python" install --no-compile --no-deps --no-index --prefix "/own$environment" /wheels/*.whl
  compile "$(site_packages "/own$environment")"
}

"$@"
