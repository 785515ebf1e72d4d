# Needs Python 3.11 or later, nothing else: every target makes .venv by itself and renews it when pyproject.toml changes.
# Another Python: make demo PYTHON=python3.13

PYTHON ?= python3
# More than the two cores of a small machine: most tests wait for processes.
JOBS ?= 4
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED := $(PIP) install --no-deps --require-hashes --requirement
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-annotate --no-header pyproject.toml
# The browser tests read one file of a package that would bring these along.
UNUSED := --no-emit-package playwright --no-emit-package pyee
UPGRADE ?= --upgrade

.PHONY: help demo run test test-unit lint format bench soak fuzz mutate audit lowest lock build
.DEFAULT_GOAL := help

help:
	@echo "make demo     both vendors simulated, webhooks sent, the fulfillments shown (KEEP=1 leaves it running)"
	@echo "make run      receiver and worker, with the settings in .env"
	@echo "make test     linters, types, import rules, all tests"
	@echo "make test-unit  the pure tests, in seconds"
	@echo "make lint     linters, types, import rules, known weaknesses"
	@echo "make format   put the code into shape"
	@echo "make bench    how much it carries on this machine (FULL=1 adds what takes long)"
	@echo "make fuzz     100,000 mutated requests to the receiver (COUNT=1000 SEED=2)"
	@echo "make mutate   small changes to translate/ and pipeline/, each of which some test must notice (hours; ONLY='bridge.translate.matching*')"
	@echo "make audit    known vulnerabilities of what is installed, by PyPI's list (says so where it can't be had)"
	@echo "make soak     half an hour under mixed faults (MINUTES=5 SEED=2 DATABASE=postgresql)"
	@echo "make lock     choose the newest versions that pyproject.toml allows, with their hashes"
	@echo "make build    the wheel and the source archive, in dist/"
	@echo "make lowest   all tests once more, on the lowest versions of the dependencies that pyproject.toml allows"

demo: $(VENV)/.runtime
	$(BIN)/bridge demo $(if $(KEEP),--keep)

run: $(VENV)/.runtime
	$(BIN)/bridge run

test: lint
	$(BIN)/pytest --numprocesses=$(JOBS) --cov --cov-report=term

test-unit: $(VENV)/.dev
	$(BIN)/pytest tests/unit

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --python-version 3.14
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive bridge
	$(BIN)/python -m tests.support.audit

format: $(VENV)/.dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.dev
	FULL=$(FULL) ONLY=$(ONLY) $(BIN)/python -m tests.benchmarks

soak: $(VENV)/.dev
	$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1) --database $(or $(DATABASE),sqlite)

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.support.fuzz --count $(or $(COUNT),100000) --seed $(or $(SEED),1)

# What survives is listed at the end; `.venv/bin/mutmut show NAME` shows the change.
mutate: $(VENV)/.dev
	$(BIN)/mutmut run --max-children $(JOBS) $(if $(ONLY),'$(ONLY)')
	$(BIN)/mutmut results

audit: $(VENV)/.dev
	$(BIN)/python -m tests.support.audit

# What is installed by default: the same versions everywhere, until somebody calls this.
lock: $(VENV)/.dev
	$(COMPILE) --extra postgres --extra alerts --output-file deploy/requirements.lock $(UPGRADE)
	$(COMPILE) --extra postgres --extra alerts --group dev $(UNUSED) \
	  --output-file requirements-dev.lock $(UPGRADE)

build: $(VENV)/.dev
	$(BIN)/python -m build --quiet --outdir dist .

# A venv of its own, made anew each time.
lowest: $(VENV)/.dev
	$(PYTHON) -m venv --clear build/lowest
	$(COMPILE) --resolution lowest-direct --extra postgres --extra alerts --group dev $(UNUSED) \
	  --output-file build/lowest/requirements.txt
	build/lowest/bin/python -m pip --disable-pip-version-check --quiet install --no-deps \
	  --requirement build/lowest/requirements.txt
	build/lowest/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --editable .
	build/lowest/bin/pytest --numprocesses=$(JOBS) $(TESTS)

# Two stamps: what runs is installed without what only develops, so the demo is there sooner.
$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not installed. Install Python 3.11 or later, or name yours: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$(PYTHON) is $$($(PYTHON) --version 2>&1), and 3.11 or later is needed. Name another: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) comes without venv. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python pyproject.toml deploy/requirements.lock
	$(LOCKED) deploy/requirements.lock
	$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml requirements-dev.lock
	$(LOCKED) requirements-dev.lock
	$(PIP) install --no-deps --editable .
	@touch $@ $(VENV)/.runtime
