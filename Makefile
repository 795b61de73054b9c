# `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
UV := $(shell sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)
PROFILE ?= auto
COLLECTION ?= morphs
export CLIPS COLLECTION EMBEDDER FOOTAGE MODEL QUALITY

# Results do not depend on the number of threads; speed does, and oversubscription ruins it.
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help setup reproduce-paper verify-results reference-results validate-results community leaderboard weights test test-all check bench doctor lock clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(INSTALLED)  ## Install everything into .venv from requirements.lock

$(INSTALLED): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer, or name it: make setup PYTHON=python3.12"; exit 3; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: name a newer one: make setup PYTHON=python3.12"; exit 3; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: install it (on Debian: apt install python3-venv)"; exit 3; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: install one (on Debian: apt install build-essential)"; exit 3; }
	@$(BIN)/uv --version >/dev/null 2>&1 || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV); }
	@echo "installing the locked packages into $(VENV) (several gigabytes the first time)"
	@# Bytecode is compiled once, here: where Python may not write it, each start would take 3 s longer.
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --config-setting editable_mode=compat --editable .
	@touch $@

reproduce-paper: setup  ## Run the paper's experiments, write results/report (PROFILE=auto|embedded|full FOOTAGE=clips/ EXPERIMENTS="2 5")
	$(BIN)/python -m benchmarks reproduce --profile $(PROFILE) $(if $(FOOTAGE),--footage "$$FOOTAGE") $(EXPERIMENTS:%=--experiment %)

verify-results:  ## Compare results/tables with the committed results/reference, column by column
	@$(BIN)/python -m benchmarks verify

reference-results:  ## Replace results/reference by the tables of the last make reproduce-paper
	@$(BIN)/python -m benchmarks verify --write

validate-results:  ## Check results/community, which others add to
	@$(BIN)/python -m benchmarks validate

community: setup  ## Measure a public comparison for results/community: make community COLLECTION=morphs
	@$(BIN)/python scripts/measure_community.py "$$COLLECTION"

leaderboard: setup  ## Rank generators: make leaderboard CLIPS=clips/ (clips/GENERATOR/PAIR.mp4)
	@test -n "$$CLIPS" || { echo "name the clips: make leaderboard CLIPS=clips/ (clips/GENERATOR/PAIR.mp4)"; exit 2; }
	@$(BIN)/spf compare "$$CLIPS"

weights: setup  ## Fetch weights: make weights EMBEDDER=siglip (clip, dinov2, siglip/b16-384), MODEL=wan22 (wan21, skyreels, ltx2, ltxv, framepack), STILLS=sdxl (flux), QUALITY=vbench
	@$(BIN)/python scripts/fetch_weights.py $(if $(QUALITY),"quality=$$QUALITY",$(if $(STILLS),"stills=$$STILLS",$(if $(MODEL),"model=$$MODEL","embedder=$$EMBEDDER")))

test: setup  ## The fast tests: no network, no weights, no GPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile -m "not slow"

test-all: setup  ## All tests
	$(BIN)/python -m pytest

check: setup  ## Style, types, and which way imports point
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup  ## Speed and memory as ratios measured side by side
	$(BIN)/python scripts/bench.py

doctor: setup  ## What this machine has, and what each option would need
	$(BIN)/spf doctor

lock:  ## Renew requirements.lock from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml requirements-vbench.in --quiet --all-extras --universal --python-version 3.11 --no-emit-index-url --generate-hashes --upgrade --custom-compile-command "make lock" --output-file requirements.lock

clean:  ## Remove .venv and everything that runs have written
	rm -rf $(VENV) results/runs results/cells results/report results/tables results/sweeps results/stills results/bench results/collections build *.egg-info .pytest_cache .ruff_cache .mypy_cache
