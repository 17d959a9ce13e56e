# make train   set everything up and run the main job (ARGS="--flag=value ..." passes flags on)
# make test    the same set-up, all tests
# make check   format, lint, types, import contract, tests: what CI runs

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Test processes: TensorFlow keeps about two cores busy by itself.
JOBS ?= 2

.PHONY: train test test-browser check format lint types imports clean

train: $(READY)
	$(BIN)/python -m ssl_keras.train --loss=uniform_prior $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest -q -n $(JOBS) --dist=loadfile --no-loadscope-reorder --durations=40 --ignore=tests/browser $(ARGS)

# TensorBoard in a headless Chromium (Debian: apt-get install chromium); no part of `make test`.
test-browser: $(READY)
	$(BIN)/python -m pip install --quiet playwright==1.65.2
	$(BIN)/python -m pytest -q tests/browser $(ARGS)

check: lint types imports test

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
