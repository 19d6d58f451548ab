# Everything a person types here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Tests are compiled once, not by every process that runs some of them.
unexport PYTHONDONTWRITEBYTECODE
export ZEROLOOP_CACHE ?= $(HOME)/.cache/zeroloop
PY := .venv/bin/python
UV := tools/uv
STAMP := .venv/.lock-installed

# One full set of arguments for pytest, so that every target reports the same way.
PYTEST := $(PY) -m pytest -q
# Files side by side; each starts what it needs for itself.
JOBS ?= 2
SIDE_BY_SIDE := -n $(JOBS) --dist loadfile
ROUNDS ?= 14
RUN ?=
CLUSTER_TESTS ?= tests/cluster

.PHONY: help setup demo learn test test-unit test-services test-chart test-engine test-hostile test-cluster cluster cluster-down bench bench-execution soak agreement lint format check protos settings-reference lock seedling images clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install everything the project needs: environment, lock, gVisor.
	@tools/gvisor/install
	@$(PY) -m zeroloop.cli doctor --quiet

$(STAMP): requirements/cpu.lock pyproject.toml
	$(UV) venv --quiet --allow-existing --python '>=3.11,<3.13' .venv
	$(UV) pip sync --quiet --compile-bytecode --python $(PY) --require-hashes requirements/cpu.lock
	$(UV) pip install --quiet --python $(PY) --no-deps -e .
	@touch $@

demo: setup ## Play real self-play rounds on this machine and write a report (ROUNDS=14).
	$(PY) -m zeroloop.cli play --model models/seedling --preset seedling --rounds $(ROUNDS) $(if $(RUN),--name $(RUN))

learn: setup ## The same for 100 rounds, long enough for a significant result.
	$(PY) -m zeroloop.cli play --model models/seedling --preset seedling --rounds 100 --set evaluate.samples=4 $(if $(RUN),--name $(RUN))

test: setup lint test-unit test-chart test-services test-engine test-hostile ## Run every test but the long ones.

test-unit: setup ## Pure logic and contracts, seconds.
	$(PYTEST) $(SIDE_BY_SIDE) tests/unit tests/contract tests/test_tidy.py

test-chart: setup ## The chart, rendered by Helm, its alerts evaluated by Prometheus (the first time builds both).
	@$(PY) -m tests.cluster build helm promtool
	$(PYTEST) $(SIDE_BY_SIDE) tests/chart

test-services: setup ## Each service behind its real wire, PostgreSQL and S3 included (the first time builds S3).
	@$(PY) -m tests.cluster build versitygw
	$(PYTEST) $(SIDE_BY_SIDE) tests/services

test-engine: setup ## Real vLLM, DeepSpeed and gVisor, up to whole rounds.
	$(PYTEST) $(SIDE_BY_SIDE) --timeout 900 tests/engine

test-hostile: setup ## Hostile programs against the real sandbox.
	$(PYTEST) --timeout 600 tests/hostile

test-cluster: setup ## Real Kubernetes on this machine (root; the first time builds it).
	@$(PY) -m tests.cluster build $(if $(filter $(CLUSTER_TESTS),tests/cluster),all)
	@$(PY) -m tests.cluster images --build-only
	$(PYTEST) --timeout 600 $(CLUSTER_TESTS)

cluster: setup ## Start that Kubernetes and leave it running.
	@$(PY) -m tests.cluster up

cluster-down: ## Stop it.
	@$(PY) -m tests.cluster down

bench: setup ## Measure; writes build/bench/*.json (slow, quiet machine wanted).
	$(PY) -m tests.bench

bench-execution: setup ## Measure running programs beside a native fork server (minutes, quiet machine wanted).
	$(PY) -m tests.bench.execution

SOAK ?= --reset-runs 1000000 --strict-runs 10000

soak: setup ## Run a million programs while sandboxes are killed (half an hour; SOAK=--help).
	$(PY) -m tests.soak $(SOAK)

AGREEMENT ?= --runs 10000

agreement: setup ## Ten thousand ordinary programs, in gVisor and beside it (minutes; AGREEMENT=--help).
	$(PY) -m tests.soak.agreement $(AGREEMENT)

lint: setup ## Format, lint, types, import rules, protos.
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright
	.venv/bin/lint-imports
	$(PY) -m tools.protos --check
	$(PY) -m tools.settings_reference --check

format: setup ## Format the code and mend what can be mended.
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

check: lint test-unit ## What to run before every commit.

settings-reference: setup ## Write docs/reference/settings.md.
	$(PY) -m tools.settings_reference

protos: setup ## Generate the stubs from protos/.
	$(PY) -m tools.protos

lock: ## Resolve requirements/*.lock anew.
	tools/lock

seedling: setup ## Make models/seedling again from its recipe (about half an hour).
	$(PY) -m models.recipe seedling

images: ## Build the container images (IMAGE_BUILDER=docker).
	deploy/build-images

clean: ## Remove what was built here; keeps runs/.
	rm -rf .venv build dist .cache
