# Sensor Data Storage Service. `make` alone prints the verbs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
JARS   := .cache/.fetched
AZURITE := .cache/azurite/.fetched
WEB    := web/node_modules/.installed
LOCKED := config/requirements-dev.txt
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)

# Downloads for the embedded broker stay inside the checkout.
export SENSOR_STORAGE_CACHE := $(CURDIR)/.cache

# What images are called: sensor-storage:0.1.0, or with REGISTRY=… in front.
VERSION  := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REGISTRY ?=
DOCKER   ?= docker
KUBECTL  ?= $(shell command -v kubectl || echo $(BIN)/kubectl)
OVERLAY  ?= production
NAMESPACE ?= sensor-storage
DATA     ?= $(CURDIR)/data
# The host's network, so that localhost:9092 of .env is the host's Kafka, and nothing is opened to others.
DOCKER_RUN_FLAGS ?= --network host -e SERVICE_HOST=127.0.0.1
IMAGE     = $(if $(REGISTRY),$(REGISTRY)/)sensor-storage:$(VERSION)
NEED_DOCKER  = scripts/need.sh docker $(DOCKER)
NEED_COMPOSE = scripts/need.sh compose $(DOCKER)
NEED_CLUSTER = scripts/need.sh cluster $(KUBECTL)

.PHONY: help install azurite run demo demo-azure test test-kafka check page pictures docs format bench proof proof-cold proof-end proof-queries fuzz fuzz-api lock audit dist env-example clean \
	docker-build docker-run docker-push compose-dev compose-up compose-down k8s-deploy k8s-logs k8s-delete

help:  ## Print these lines
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make VERB\n" } /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##---- install --------------------------------------------------------------------------------------------

install: $(STAMP) $(JARS) $(AZURITE)  ## Create .venv from the lock and fetch the embedded broker, once

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

$(AZURITE): scripts/azurite/package-lock.json scripts/azurite/.npmrc | $(STAMP)
	mkdir -p .cache/azurite
	cp scripts/azurite/package.json scripts/azurite/package-lock.json scripts/azurite/.npmrc .cache/azurite/
	cd .cache/azurite && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --cache $(CURDIR)/.cache/npm --ignore-scripts --silent
	@touch $@

azurite: $(AZURITE)  ## Fetch Azurite, the emulator of Azure Blob Storage, once

$(WEB): web/package-lock.json web/.npmrc | $(STAMP)
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --cache $(CURDIR)/.cache/npm --silent
	@touch $@

##---- use ------------------------------------------------------------------------------------------------

run: $(STAMP)  ## Run the service with the settings of the environment and .env
	$(BIN)/sensor-storage run

demo: $(STAMP) $(JARS)  ## Show everything on this machine alone: broker, plant, service, page
	$(BIN)/sensor-storage demo

demo-azure: install  ## The same, with an emulated Azure Blob Storage as cold store
	$(BIN)/sensor-storage demo --azurite

test-kafka: $(STAMP)  ## Publish simulated readings to the Kafka of .env for ten seconds
	$(BIN)/sensor-storage simulate --duration 10

##---- run it in containers ---------------------------------------------------------------------------------

docker-build:  ## Build the image
	@$(NEED_DOCKER)
	$(DOCKER) build --tag $(IMAGE) .

docker-run:  ## Run the image with the settings of .env and its data in DATA (./data)
	@$(NEED_DOCKER)
	@test -f .env || { echo "There is no .env yet: cp .env.example .env" >&2; exit 2; }
	mkdir -p $(DATA)
	$(DOCKER) run --rm --init --name sensor-storage --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
		--user "$$(id -u):$$(id -g)" --volume $(DATA):/data \
		--volume $(CURDIR)/.env:/etc/sensor-storage/.env:ro --workdir /etc/sensor-storage \
		--stop-timeout 35 $(DOCKER_RUN_FLAGS) $(IMAGE)

docker-push:  ## Build the image and push it to REGISTRY
	@test -n "$(REGISTRY)" || { echo "Name the registry: REGISTRY=your-registry make docker-push" >&2; exit 2; }
	@$(NEED_DOCKER)
	$(DOCKER) build --tag $(IMAGE) .
	$(DOCKER) push $(IMAGE)

compose-dev:  ## Run the service with a Kafka and an emulated blob storage
	@$(NEED_COMPOSE)
	$(DOCKER) compose --profile dev up --build --detach --wait

compose-up:  ## Run all of it: also Prometheus (9090) and Grafana (3000)
	@$(NEED_COMPOSE)
	$(DOCKER) compose --profile dev --profile monitoring up --build --detach --wait

compose-down:  ## End what compose-dev and compose-up have started; the data stays
	@$(NEED_COMPOSE)
	$(DOCKER) compose --profile dev --profile monitoring down

##---- run it in Kubernetes ---------------------------------------------------------------------------------

k8s-deploy:  ## Deploy OVERLAY (dev, production, full) to the cluster; REGISTRY says where the image is
	@$(NEED_CLUSTER)
	$(KUBECTL) create namespace $(NAMESPACE) --dry-run=client --output yaml | $(KUBECTL) apply --filename -
	$(KUBECTL) kustomize deployment/overlays/$(OVERLAY) | sed 's|image: sensor-storage:|image: $(if $(REGISTRY),$(REGISTRY)/)sensor-storage:|' \
		| $(KUBECTL) apply --namespace $(NAMESPACE) --filename -

k8s-logs:  ## Follow the logs in the cluster
	@$(NEED_CLUSTER)
	$(KUBECTL) logs --namespace $(NAMESPACE) --selector app.kubernetes.io/name=sensor-storage --prefix --follow --tail 100

k8s-delete:  ## Remove the deployment from the cluster; volumes and namespace, and so all readings, stay
	@$(NEED_CLUSTER)
	$(KUBECTL) delete --namespace $(NAMESPACE) --ignore-not-found --kustomize deployment/overlays/$(OVERLAY)

##---- work on it -----------------------------------------------------------------------------------------

test: install $(WEB)  ## Run every test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(STAMP)  ## Check format, lint, types and import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

page: $(WEB)  ## Build the web page from web/ into the package
	cd web && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent check && PATH="$(CURDIR)/$(BIN):$$PATH" npm run --silent build

format: $(STAMP)  ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

pictures: install $(WEB)  ## Take the pictures of the page in the documents again, from the demo
	PYTHONPATH=tests $(BIN)/python scripts/pictures.py

docs: $(STAMP)  ## Build the documents as a site into site/
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --quiet --strict --config-file config/mkdocs.yml

bench: install $(WEB)  ## Measure the speed of each stage
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/service.py
	$(BIN)/python benchmarks/steady.py
	$(BIN)/python benchmarks/aggregate.py
	$(BIN)/python benchmarks/query.py
	$(BIN)/python benchmarks/beside.py
	$(BIN)/python benchmarks/readiness.py
	$(BIN)/python benchmarks/verify.py
	$(BIN)/python benchmarks/failover.py
	$(BIN)/python benchmarks/crowd.py
	$(BIN)/python benchmarks/large_tree.py --files 100000
	$(BIN)/python benchmarks/catch_up.py --hours 0.25
	PYTHONPATH=tests $(BIN)/python benchmarks/page.py

proof: install  ## Run the long fault runs
	$(BIN)/python scripts/proof.py

fuzz-api: $(STAMP)  ## Ask the API ten thousand things nobody would write
	PYTHONPATH=tests $(BIN)/python scripts/ask_anything.py

proof-queries: $(STAMP)  ## Ask ten thousand questions while every stage runs, each held against the truth of its moment
	PYTHONPATH=tests $(BIN)/python scripts/ask_meanwhile.py

proof-cold: install  ## Prove on 10,000 files that cleanup removes none wrongly, and uploads lose nothing
	PYTHONPATH=tests $(BIN)/python scripts/cold_proofs.py

proof-end: install  ## End the service by SIGTERM at fifty moments, with broker and cold store hanging in half
	$(BIN)/python scripts/sigterm.py

fuzz: $(STAMP)  ## Decode a hundred thousand damaged messages among good ones
	PYTHONPATH=tests $(BIN)/python scripts/fuzz.py

lock: $(STAMP)  ## Resolve the dependencies again and pin them by digest
	$(UV_COMPILE) pyproject.toml --output-file requirements.txt
	$(UV_COMPILE) pyproject.toml --all-extras --constraints requirements.txt --output-file $(LOCKED)
	echo hatchling | $(UV_COMPILE) - --constraints $(LOCKED) --output-file config/requirements-build.txt

audit: $(STAMP)  ## Compare the locked packages with ADVISORIES, a folder or zip file of OSV records; asks no network
	@test -n "$(ADVISORIES)" || { echo "Name the advisories: make audit ADVISORIES=all.zip (the export of PyPI that osv.dev publishes)" >&2; exit 2; }
	$(BIN)/python scripts/audit.py $(ADVISORIES)

dist: $(STAMP)  ## Build wheel, source package and bill of materials into dist/
	rm -rf dist
	$(BIN)/hatchling build --directory dist
	$(BIN)/python scripts/sbom.py dist/sbom.json

env-example: $(STAMP)  ## Write .env.example from the settings in the code
	$(BIN)/sensor-storage config docs --format env > .env.example

clean:  ## Remove what make and the tools have created (not your data)
	rm -rf $(VENV) .cache web/node_modules dist site htmlcov .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
