# Everything a newcomer or a build machine runs. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
TOOLS := .tools
UV := $(TOOLS)/bin/uv
VENV := .venv
SDK_VENV := .venv-sdk
PY := $(VENV)/bin/python
WHEELS := target/wheels

RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
PYTHON_SOURCES := $(shell find python/aistore -name '*.py' -o -name '*.pyi' -o -name py.typed)

.PHONY: help setup setup-tests demo test test-rust test-python fuzz lint fmt bench clean

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(UV):
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed; set PYTHON=/path/to/python3")'
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer with rustup" >&2; exit 1; }
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check -r requirements/tools.txt

$(VENV)/.packages: requirements/dev.txt | $(UV)
	test -x $(PY) || $(UV) venv --quiet --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(PY) -r requirements/dev.txt
	touch $@

$(VENV)/.wheel: $(RUST_SOURCES) $(PYTHON_SOURCES) pyproject.toml $(VENV)/.packages
	rm -rf $(WHEELS)
	$(TOOLS)/bin/maturin build --release --quiet --locked --interpreter $(PY) --out $(WHEELS)
	$(UV) pip install --quiet --python $(PY) --reinstall-package aistore $(WHEELS)/aistore-*.whl
	touch $@

$(SDK_VENV)/.packages: requirements/sdk.txt | $(UV)
	test -x $(SDK_VENV)/bin/python || $(UV) venv --quiet --python $(PYTHON) $(SDK_VENV)
	$(UV) pip install --quiet --python $(SDK_VENV)/bin/python -r requirements/sdk.txt
	touch $@

$(SDK_VENV)/.rivals: requirements/bench.txt $(SDK_VENV)/.packages
	$(UV) pip install --quiet --python $(SDK_VENV)/bin/python -r requirements/bench.txt
	touch $@

setup: $(VENV)/.wheel ## Make .venv with the release wheel, `ais` and `aisnode` installed.

setup-tests: setup $(SDK_VENV)/.packages ## Also make the environment of the official SDK, a black-box client.

demo: setup ## Start an embedded cluster and train on it.
	$(PY) examples/train_digits.py --out demo-out

test-rust: | $(UV) ## Rust tests.
	cargo test --release --locked --workspace --exclude aistore-python

test-python: setup-tests ## Python tests, against real clusters.
	$(PY) -m pytest python/tests

test: test-rust test-python ## Set up everything and pass all tests.

fuzz: ## Feed every parser of outside bytes with garbage, FUZZ_SECONDS (60) each.
	fuzz/run

lint: setup ## All checks that write nothing.
	cargo fmt --all --check
	cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	.ci/layers

fmt: $(VENV)/.packages ## Reformat.
	cargo fmt --all
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench: setup-tests $(SDK_VENV)/.rivals ## Measure against what a user would pick instead; prints ratios.
	$(PY) benches/run.py

clean: ## Remove everything that is built here.
	rm -rf target $(VENV) $(SDK_VENV) $(TOOLS) demo-out
