# Hemline's tasks. `make help` lists them; everything happens in .venv, nothing is installed outside it
# except by `make test-all`, which installs the servers its tests need.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := libs/api libs/runtime libs/broker libs/model libs/store \
            services/inference services/samples services/trainer services/client_sim operator observability cli
SOURCES := $(foreach package,$(PACKAGES),$(package)/src)
PYTEST := $(BIN)/pytest
BROKER ?=
SERVERS := kafka or pubsub or apiserver or cluster or slow

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-broker test-operator test-cluster test-chart lint format generate bench lock servers clean images images-kind

help: ## list the tasks
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

# --- setting up -------------------------------------------------------------------------------------------------

setup: $(VENV)/.runtime ## make .venv with what running needs
	@echo "ready: $(BIN)/hemline --help"

$(VENV)/.runtime: requirements/runtime.txt $(PACKAGES:=/pyproject.toml)
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) not found; install Python 3.11 with venv, or name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what running needs into $(VENV) (TensorFlow is most of it) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@echo "installing what tests, lint and benchmarks need into $(VENV) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

lock: ## resolve requirements/*.in into hashed requirements/*.txt (UPGRADE=1 for newer versions)
	requirements/lock.sh

# --- running ----------------------------------------------------------------------------------------------------

demo: $(VENV)/.runtime ## the whole loop on this machine, three to five minutes (BROKER=kafka://host:port for Kafka)
	@$(BIN)/hemline demo $(if $(BROKER),--broker $(BROKER)) $(DEMO_OPTIONS)

# --- images -----------------------------------------------------------------------------------------------------

images: ## build the images with docker, podman or buildah, and print their sizes (docs/images.md has the settings)
	images/build.sh

images-kind: ## the same, and load them into the kind cluster
	images/build.sh --kind

# --- testing ----------------------------------------------------------------------------------------------------

test: $(VENV)/.dev ## what needs no server and no minutes
	$(PYTEST) -m "not ($(SERVERS))"

test-all: $(VENV)/.dev ## everything; installs Java, Go and what else the servers need first
	tests/all.sh "$(SERVERS)"

test-broker: $(VENV)/.dev ## the messaging library, real brokers included
	$(PYTEST) libs/broker

test-operator: $(VENV)/.dev ## the lifecycle and its drivers
	$(PYTEST) operator

test-cluster: $(VENV)/.dev ## Kubernetes: a real API server (and a node, once there are images to run on it)
	eval "$$(tests/servers/install.sh)"; $(PYTEST) tests/cluster

test-chart: $(VENV)/.dev ## the Helm charts: templates, values, a real API server, an installation
	eval "$$(tests/servers/install.sh)"; $(PYTEST) tests/chart tests/cluster/chart

# --- keeping it clean -------------------------------------------------------------------------------------------

lint: $(VENV)/.dev ## format, style, types, imports, generated files, charts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports
	tests/house/generated.sh
	tests/chart/lint.sh
	tests/house/rules.sh

format: $(VENV)/.dev ## rewrite what the formatter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(VENV)/.dev ## rewrite the generated files
	PYTHON=$(abspath $(BIN)/python) libs/api/generate.sh
	$(BIN)/python -m hemline_api.resources k8s/crds
	$(BIN)/python -m hemline_api.asyncapi docs/asyncapi.yaml
	$(BIN)/python -m hemline_operator.manifests k8s
	$(BIN)/python -m hemline_observability charts/hemline/files/dashboards
	$(BIN)/python charts/generate.py charts
	$(BIN)/python -m hemline_broker.testing libs/broker/README.md

bench: $(VENV)/.dev ## every benchmark, quick (BENCH_OPTIONS= for the full length)
	for file in bench/[a-z]*.py; do nice -n 0 $(BIN)/python $$file $(BENCH_OPTIONS) || exit 1; done

bench: BENCH_OPTIONS ?= --quick

clean: ## remove what was built here
	rm -rf $(VENV) .hemline .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
