# Sensor Data Storage Service. `make` alone prints the verbs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JARS   := .cache/.fetched
LOCKED := config/requirements-dev.txt
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

# Downloads for the embedded broker stay inside the checkout.
export SENSOR_STORAGE_CACHE := $(CURDIR)/.cache

.PHONY: help install run demo test test-kafka check format bench proof fuzz lock env-example clean

help:  ## Print these lines
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make VERB\n" } /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##---- install --------------------------------------------------------------------------------------------

install: $(STAMP) $(JARS)  ## Create .venv from the lock and fetch the embedded broker, once

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Install one, or name it: make install PYTHON=/path/to/python3" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The stamp is younger than the lock and the project file exactly when both have been installed.
$(STAMP): $(LOCKED) pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCKED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(JARS): src/sensor_storage/demo/kafka_jars.lock | $(STAMP)
	$(BIN)/sensor-storage broker --fetch-only
	@touch $@

##---- use ------------------------------------------------------------------------------------------------

run: $(STAMP)  ## Run the service with the settings of the environment and .env
	$(BIN)/sensor-storage run

demo: install  ## Show everything on this machine alone: broker, plant, service, page
	$(BIN)/sensor-storage demo

test-kafka: $(STAMP)  ## Publish simulated readings to KAFKA_BOOTSTRAP_SERVERS for ten seconds
	$(BIN)/sensor-storage simulate --duration 10

##---- work on it -----------------------------------------------------------------------------------------

test: install  ## Run every test
	$(BIN)/python -m pytest

check: $(STAMP)  ## Check format, lint, types and import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)  ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install  ## Measure the speed of each stage
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/service.py
	$(BIN)/python benchmarks/steady.py
	$(BIN)/python benchmarks/aggregate.py
	$(BIN)/python benchmarks/query.py
	$(BIN)/python benchmarks/readiness.py

proof: install  ## Run the long fault runs
	$(BIN)/python scripts/proof.py

fuzz: $(STAMP)  ## Decode a hundred thousand damaged messages among good ones
	PYTHONPATH=tests $(BIN)/python scripts/fuzz.py

lock: $(STAMP)  ## Resolve the dependencies again and pin them by digest
	$(UV_COMPILE) pyproject.toml --output-file requirements.txt
	$(UV_COMPILE) pyproject.toml --all-extras --constraints requirements.txt --output-file $(LOCKED)

env-example: $(STAMP)  ## Write .env.example from the settings in the code
	$(BIN)/sensor-storage config docs --format env > .env.example

clean:  ## Remove what make and the tools have created (not your data)
	rm -rf $(VENV) .cache dist htmlcov .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
