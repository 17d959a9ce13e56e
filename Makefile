# make train   set everything up and run the main job (ARGS="--flag=value ..." passes flags on)
# make test    the same set-up, the tests that prove the product: at most four minutes on two cores
# make check   format, lint, types, import contract, all tests: what CI runs, at most 14 minutes

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Test processes: TensorFlow keeps about two cores busy by itself.
JOBS ?= 2

.PHONY: train test test-full test-browser check format lint types imports clean

train: $(READY)
	$(BIN)/python -m ssl_keras.train --loss=uniform_prior $(ARGS)

PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist=loadfile --no-loadscope-reorder --durations=25 --ignore=tests/browser

test: $(READY)
	$(PYTEST) -m "not full" $(ARGS)

# What `make test` leaves out: it proves more of the same, and takes longer.
test-full: $(READY)
	$(PYTEST) -m full $(ARGS)

# TensorBoard in a headless Chromium (Debian: apt-get install chromium); no part of `make test`.
test-browser: $(READY)
	$(BIN)/python -m pip install --quiet playwright==1.65.2
	$(BIN)/python -m pytest -q tests/browser $(ARGS)

check: lint types imports test test-full

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(READY): requirements.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; '$(PYTHON)' is another version: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
