# make train     set up what the program needs, and run the main job (ARGS="--flag=value ..." passes flags on)
# make test      set up what developers need too; the tests that prove the product: three to five minutes on two cores
# make check     format, lint, types, import contract, all tests: 9 to 12 minutes on two cores
# make test-exhaustive  more cases of the same proofs, when what they are about was changed: 15 to 20 minutes
# make docs      pages of the public calls in build/docs
# make test-gpu  what to run first on a machine with a GPU

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
# The first Python on the path that the package supports; all tests run with 3.11.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
  $$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
# Test processes: TensorFlow keeps about two cores busy by itself.
JOBS ?= 2

# Installs packages: uv takes less than half of pip's time. pip does it where uv fails: uv does
# not read pip's settings of indexes.
UV := 0.13.9
define install
$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python $(1) \
  || $(BIN)/python -m pip install --quiet $(1)
endef

.PHONY: docs train test test-full test-exhaustive test-browser test-gpu check format lint types imports clean

train: $(READY)
	$(BIN)/python -m ssl_keras.train --loss=uniform_prior $(ARGS)

PYTEST := $(BIN)/python -m pytest -q --disable-warnings -n $(JOBS) --dist=loadfile --no-loadscope-reorder --durations=25 \
  --ignore=tests/browser --ignore=tests/gpu

test: $(DEV)
	$(PYTEST) -m "not full and not exhaustive" $(ARGS)

# What `make test` leaves out: it proves more of the same, and takes longer.
test-full: $(DEV)
	$(PYTEST) -m "full and not exhaustive" $(ARGS)

# More cases of what the other two prove: CONTRIBUTING.md says which.
test-exhaustive: $(DEV)
	$(PYTEST) -m exhaustive $(ARGS)

# TensorBoard in a headless Chromium (Debian: apt-get install chromium); no part of `make test`.
test-browser: $(DEV)
	$(BIN)/python -m pip install --quiet playwright==1.65.2
	$(BIN)/python -m pytest -q tests/browser $(ARGS)

# No part of `make test`. On a GPU it needs NVIDIA's libraries: make test-gpu GPU=1 installs them.
test-gpu: $(DEV)
	$(if $(GPU),$(BIN)/python -m pip install --quiet --constraint requirements.lock "tensorflow[and-cuda]")
	$(BIN)/python -m pytest -q -s --confcutdir=tests/gpu tests/gpu $(ARGS)

# Pages of the public calls, from their docstrings: build/docs/ssl_keras.html
docs: $(DEV)
	$(BIN)/python -m tools.api_pages build/docs

# Both tiers at once: processes start once, and none waits for the other at the end of a tier.
check: lint types imports $(DEV)
	$(PYTEST) $(ARGS)

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV)
	$(BIN)/mypy

imports: $(DEV)
	$(BIN)/lint-imports --no-cache

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): requirements.lock setup.cfg pyproject.toml
	@'$(PYTHON)' -c '$(SUPPORTED)' 2>/dev/null || { echo "Python 3.11, 3.12 or 3.13 is needed, and \
	'$(or $(PYTHON),python3)' is not one of them: make PYTHON=/path/to/python3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV)
	$(call install,--requirement requirements.lock)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(DEV): $(READY) requirements-dev.lock
	$(call install,--constraint requirements.lock --requirement requirements-dev.lock)
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
