# Two commands need nothing but Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Options of pytest; PYTEST="--cov" prints which lines are covered, and takes half as long again.
PYTEST ?=
# cpu, or auto for the CUDA build that fits the driver, or cu128, ... (names of `uv pip --torch-backend`)
TORCH_BACKEND ?= cpu
TORCH = $(shell sed -n 's/^torch==//p' constraints.txt)
# What maps need, and on top of it what tests, benchmarks, notebooks and the documentation need.
INSTALLED = $(VENV)/.installed-$(TORCH_BACKEND)
DEVELOPING = $(VENV)/.developing-$(TORCH_BACKEND)
# Not compiled at once: Python compiles the modules that are imported, a small part of all.
PIP = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt
# uv installs with a fifth of pip's work; pip does it where uv cannot.
UV = $(BIN)/uv pip install --quiet --python $(BIN)/python
INSTALL = $(UV) --constraint constraints.txt

.PHONY: demo test quick check lint types tests site bench clean

demo: $(INSTALLED)
	$(BIN)/python -m examples.demo demo

test: check

check: lint types tests

# Lint, types and the tests of a room's own logic: those marked `slow` (setup.cfg) are left to `make test`.
quick: lint types
	$(BIN)/python -m pytest --numprocesses 2 -m "not slow" --quiet $(QUICK)

lint: $(DEVELOPING)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVELOPING)
	$(BIN)/mypy

tests: $(DEVELOPING)
	$(BIN)/python -m pytest --numprocesses 2 $(PYTEST)

# The documentation as pages: build/site/index.html
site: $(DEVELOPING)
	$(BIN)/python -m sphinx -q -W --keep-going docs build/site

bench: $(DEVELOPING)
	$(BIN)/python -m benchmarks.compositing
	$(BIN)/python -m benchmarks.scenes
	$(BIN)/python -m benchmarks.listing
	$(BIN)/python -m benchmarks.model_input
	$(BIN)/python -m benchmarks.predictor
	$(BIN)/python -m benchmarks.peers
	$(BIN)/python -m benchmarks.node
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.forest_text
	$(BIN)/python -m benchmarks.assessment made
	$(BIN)/python -m benchmarks.assessment demo
	$(BIN)/python -m benchmarks.earth_engine_requests
	$(BIN)/python -m benchmarks.county --size 1024
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.memory

# The plain torch wheel for Linux carries gigabytes of CUDA, so the build is chosen first, by name.
$(INSTALLED): setup.cfg constraints.txt
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'cropmap needs Python 3.11 or newer: make PYTHON=python3.12'"
	$(PYTHON) -m venv $(VENV)
	[ "$(TORCH_BACKEND)" = cpu ] && $(PIP) "torch==$(TORCH)+cpu" 2>/dev/null \
	|| { $(PIP) uv && $(UV) --torch-backend $(TORCH_BACKEND) "torch==$(TORCH)"; }
	$(PIP) uv && $(INSTALL) --editable . || $(PIP) --editable .
	touch $(INSTALLED)

$(DEVELOPING): $(INSTALLED)
	$(INSTALL) --editable ".[dev,notebook]" || $(PIP) --editable ".[dev,notebook]"
	touch $(DEVELOPING)

clean:
	rm -rf $(VENV) demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache
