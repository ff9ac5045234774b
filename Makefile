# Everything a person does here. Needs Python 3.11 to 3.13, make, git and npm; makes its own .venv.
.DEFAULT_GOAL := help
.PHONY: help run test check faults bench ui lock clean
SHELL := /bin/bash

BIN := .venv/bin
READY := .venv/.ready
COMPILE := uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url --no-header
# A file's tests share what was made for them; the short files stand at the end, so that nobody waits for a long one.
SIDE_BY_SIDE := -n auto --dist loadfile --no-loadscope-reorder
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

run: $(READY) ## a whole night: prepare, search, train, evaluate, register, promote
	$(BIN)/cnn nightly

test: check ## all checks, the doctests and the test suite
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not faults and not bench" --doctest-modules cnn flows tests

check: $(READY) ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults: $(READY) ## the whole series of seeded kills, torn files and dead servers
	$(BIN)/pytest -m faults tests

bench: $(READY) ## speed and overhead, printed with the hardware they were measured on
	@set -e; for script in tests/benchmarks/bench_*.py; do $(BIN)/python "$$script"; done

ui: $(READY) ## MLflow and optuna-dashboard, on this machine only
	$(BIN)/cnn ui

lock: $(READY) ## pin every dependency anew, by version and hash
	$(BIN)/$(COMPILE) pyproject.toml --group dev -o requirements.lock
	$(BIN)/$(COMPILE) infra/bootstrap.in -o infra/bootstrap.lock

clean: ## remove the environment and all caches; results and CNN_HOME stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find cnn flows tests -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.lock infra/bootstrap.lock pyproject.toml
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		"$$python" -c '$(FITS)' 2>/dev/null && exec "$$python" -m venv .venv; \
	done; echo "no Python found: expected 3.11 to 3.13; name one with: make PYTHON=/path/to/python3.11" >&2; exit 2
	$(BIN)/python -m pip install --quiet --require-hashes -r infra/bootstrap.lock
	$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
