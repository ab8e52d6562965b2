# Needs python3 (3.11 or newer) and make; everything else is set up in .venv on first use, pinned by hash.
#   make PYTHON=python3.12 test      another interpreter (run `make clean` first)
#   make demo ARGS="--seconds 30"    options for the demo; TABLE=workbook for one with a workbook
#   make test PYTEST_ARGS="-k rig"   options for pytest
#   make soak SEEDS=100000           that many simulated worlds; ARGS="--start 5000 --jobs 8"

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTEST_ARGS ?=
SEEDS ?= 20000
# One more than cores: many tests wait for another process.
WORKERS ?= $(shell $(PYTHON) -c "import os; print((os.cpu_count() or 1) + 1)")
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench soak ablation evidence mutation format completions wheel pins clean

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.run ## Try it: a local HighLevel, a local Airtable and the daemon, no account needed
	$(BIN)/python -m syncd demo $(if $(TABLE),--table $(TABLE)) $(ARGS)

test: $(VENV)/.dev ## Run all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-logo

bench: $(VENV)/.dev ## Measure calls, time and memory against the sandbox
	$(BIN)/python -m tests.benchmarks $(ARGS)

soak: $(VENV)/.dev ## Run many simulated worlds: faults, edits and crashes at any moment
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --keep $(ARGS)
	$(BIN)/python -m tests.evidence

ablation: $(VENV)/.dev ## Switch each rule off and see which property falls
	$(BIN)/python -m tests.simulation.ablate $(ARGS)

evidence: $(VENV)/.dev ## Count what the tests have shown, for the README
	$(BIN)/python -m tests.evidence --crashes

mutation: $(VENV)/.dev ## Change what decides and writes, line by line, and see whether a test notices
	$(BIN)/python -m tests.mutation $(ARGS)

format: $(VENV)/.dev ## Bring the code into the style that lint checks
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

completions: $(VENV)/.run ## Write the shell completions to deploy/completions
	@mkdir -p deploy/completions
	for shell in bash zsh fish; do \
	  $(BIN)/python deploy/completions.py $$shell > deploy/completions/syncd.$$shell || exit 1; \
	done

wheel: $(VENV)/.dev ## Build the wheel into dist
	rm -rf dist
	$(BIN)/python -m hatchling build -t wheel

pins: ## Pin the newest allowed versions in requirements*.txt
	$(PYTHON) -m venv build/pins
	build/pins/bin/pip install --quiet uv==$(UV_VERSION)
	sh deploy/pins.sh build/pins/bin/uv

clean: ## Remove the environment and everything that was built
	rm -rf $(VENV) build dist mutants .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "syncd needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One stamp per requirements file; installing the larger set satisfies the smaller one.
$(VENV)/.run: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/.run
