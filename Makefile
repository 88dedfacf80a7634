# One task runner for people, hooks and CI. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
ROOMS := schemas engine producers stream_workers search_api training infra
PYTEST_ARGS ?=
# Most of the slow tests wait for servers, so several a core run at once: six took 9.3 GiB of memory,
# so that four run where there is less than 12. A file's tests stay together.
TEST_WORKERS ?= $(shell awk '/^MemTotal/ {print $$2 < 12e6 ? 4 : 6}' /proc/meminfo 2>/dev/null || echo 4)
TEST_OPTIONS := -p tests.covered -p tests.forked_workers.plugin --dist loadfile --no-loadscope-reorder --durations=15
BENCH_ARGS ?=
# What mypy learned of the libraries in an earlier checkout of this machine, 40 CPU-seconds; it reads
# anew what has changed since.
KNOWN_TYPES := $(or $(SIGHTLINE_CACHE),$(HOME)/.cache/sightline)/types.tar
# What `demo` indexes: a folder; ../shared/photos where it exists, else the tests' 150 real photos.
PHOTOS ?= $(firstword $(wildcard ../shared/photos tests/data/photos))
# 1: the demo checks itself and ends.
DEMO_EXIT ?=
# 1: in the demo, people's clicks make two better models.
DEMO_LEARN ?=
export PHOTOS DEMO_EXIT DEMO_LEARN
# Python keeps what it compiled, whatever the machine says: the tests start hundreds of processes,
# and each would compile every module that it imports anew.
export PYTHONDONTWRITEBYTECODE :=

# The first Python that is new enough, for making the virtual environment; PYTHON=… overrides.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
# uv where it is installed and works, else our own, pinned, in the virtual environment.
HAVE_UV := $(shell uv --version >/dev/null 2>&1 && echo yes)
UV := $(if $(HAVE_UV),uv,$(BIN)/uv)
INSTALL := $(UV) pip install --quiet --python $(BIN)/python

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.runtime ## Show it: embedded stack, photos in, searches out (PHOTOS=dir, DEMO_EXIT=1, DEMO_LEARN=1)
	@exec $(BIN)/sightline demo $(if $(PHOTOS),--photos "$$PHOTOS") $(if $(filter 1,$(DEMO_EXIT)),--exit)

.PHONY: learn
learn: $(VENV)/.runtime ## Show the loop: clicks, a better model in service, and once more (PHOTOS=dir; minutes)
	@exec $(BIN)/sightline demo --learn --exit --port 0 $(if $(PHOTOS),--photos "$$PHOTOS")

.PHONY: venv
venv: $(VENV)/.dev build/rooms/.linked ## Make .venv with everything for development

.PHONY: tools
tools: $(VENV)/.dev ## Find or install Java, Kafka, MinIO and Chromium for the tests
	@$(BIN)/python -m sightline.infra.local.prepare_tools

.PHONY: check
check: venv ## Format, lint and types, without changing anything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@[ -e .mypy_cache ] || tar -xf "$(KNOWN_TYPES)" 2>/dev/null || rm -rf .mypy_cache
	$(BIN)/mypy $(ROOMS:%=build/rooms/sightline/%) tests benchmarks
	@[ "$(KNOWN_TYPES)" -nt infra/requirements/dev.txt ] || { mkdir -p "$(dir $(KNOWN_TYPES))" \
		&& tar -cf "$(KNOWN_TYPES).$$$$" .mypy_cache && mv "$(KNOWN_TYPES).$$$$" "$(KNOWN_TYPES)"; } \
		|| { echo "what mypy learned is not kept for other checkouts" >&2; rm -f "$(KNOWN_TYPES).$$$$"; }

.PHONY: format
format: venv ## Format the code and repair what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: test
test: venv ## Run every test, with the coverage floor (PYTEST_ARGS="-k name")
	@exec $(BIN)/python -m sightline.infra.local.prepare_tools --while $(BIN)/python -m pytest -n $(TEST_WORKERS) $(TEST_OPTIONS) $(PYTEST_ARGS)

.PHONY: quick
quick: venv ## Run the tiers unit and contract; the latter start Kafka and MinIO
	@exec $(BIN)/pytest -m "unit or contract" $(PYTEST_ARGS)

.PHONY: up
up: $(VENV)/.runtime ## Start Kafka and MinIO on this machine, without Docker; data in var/services
	@$(BIN)/python -m sightline.infra.local.services up

.PHONY: down
down: $(VENV)/.runtime ## Stop what `make up` started; data stays
	@$(BIN)/python -m sightline.infra.local.services down

.PHONY: compose-env
compose-env: $(VENV)/.runtime ## Write infra/.env for infra/compose.yaml, once: random secrets; shows the API key
	@$(BIN)/python -m sightline.infra.local.compose_environment

.PHONY: bench
bench: venv tools ## Measure the goals of the design; table, and JSON in benchmarks/results
	@exec $(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: golden
golden: venv ## Write the generated contracts and pages anew
	$(BIN)/python -m sightline.infra.generating.generate

.PHONY: docs
docs: venv ## Check that the generated contracts and pages are those of the code
	$(BIN)/python -m sightline.infra.generating.generate --check

.PHONY: audit
audit: venv ## Look the pinned dependencies up in the list of known vulnerabilities
	$(BIN)/pip-audit --require-hashes --disable-pip -r infra/requirements/dev.txt

.PHONY: sbom
sbom: venv ## Write what a deployment is made of to build/sbom.json (CycloneDX)
	@$(BIN)/python -m sightline.infra.generating.sbom build/sbom.json

.PHONY: fuzz
fuzz: venv ## Send every route some 2,000 generated requests with each kind of key (CASES=…; minutes)
	@SIGHTLINE_FUZZ_CASES=$(or $(CASES),2000) exec $(BIN)/pytest -q --timeout 3600 tests/integration/test_api_fuzz_routes.py

.PHONY: requirements
requirements: $(VENV)/.dev ## Compile the pins anew (UPGRADE=1: newest versions)
	@UV="$(UV)" bash infra/requirements/compile.sh $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## Remove what can be made again; .venv and var/ stay
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it or say PYTHON=path" >&2; exit 2; }
	@echo "making $(VENV) with $(PYTHON)" >&2
ifeq ($(HAVE_UV),yes)
	@uv venv --quiet --no-python-downloads --python "$$(command -v $(PYTHON))" $(VENV)
else
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/requirements/uv.txt
endif

# The rooms are installed in place and without looking at dependencies: those are the pinned ones.
define install-pinned
	@echo "installing $(1)" >&2
	@$(INSTALL) --require-hashes -r $(1)
	@$(INSTALL) --no-deps --no-build-isolation --editable .
endef

$(VENV)/.runtime: infra/requirements/embedded.txt pyproject.toml | $(BIN)/python
	$(call install-pinned,infra/requirements/embedded.txt)
	@touch $@

$(VENV)/.dev: infra/requirements/dev.txt pyproject.toml | $(BIN)/python
	$(call install-pinned,infra/requirements/dev.txt)
	@touch $@ $(VENV)/.runtime

# mypy reads the rooms under their installed names through links (docs/adr/0001).
build/rooms/.linked: Makefile
	@mkdir -p build/rooms/sightline
	@for room in $(ROOMS); do ln -sfn ../../../$$room build/rooms/sightline/$$room; done
	@touch $@
