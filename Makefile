# make demo     install, then segment the sounding objects of examples/demo.mp4
# make test     install, then run the tests
# make soak     install, then run the harnesses of tests/reliability; their tables go to build/soak.
#               SIZE=0.1 is a tenth of the full size, ONLY=kills one harness
# make lint     install, then run every static check
# make docs     install, then build the documentation into site/ and check its links
# make examples install, then run the examples and the notebook
# make venv     install only
# make clean    remove the virtual environment and the demo's result

PYTHON ?= python3
TEST_WORKERS ?= 2
SIZE ?= 1
ONLY ?=

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYDOCLINT := $(VENV)/pydoclint/bin/pydoclint
DEMO := demo_output
EXAMPLES := build/examples

export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test soak lint docs examples venv clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(INSTALLED)
	$(BIN)/avseg segment examples/demo.mp4 -o $(DEMO)
	@echo
	@echo "Watch $(DEMO)/demo/overlay.mp4: sounding objects are coloured while they sound."
	@echo "One mask for each frame is in $(DEMO)/demo/masks/, the scores are in $(DEMO)/demo/result.json."

# One thread for each worker: the workers already use every core.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_WORKERS)

# One thread: the harnesses fork, and a fork of a process with threads may wait for ever.
soak: $(INSTALLED)
	SOAK_SIZE=$(SIZE) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	  $(BIN)/python -m pytest -m reliability tests/reliability $(if $(ONLY),-k "$(ONLY)")

lint: $(INSTALLED) $(PYDOCLINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYDOCLINT) --quiet src tests .ci

docs: $(INSTALLED)
	$(BIN)/python tools/build_site.py
	$(BIN)/zensical build --strict --clean
	@echo
	@echo "Open site/index.html."

examples: $(INSTALLED)
	$(BIN)/python tools/run_examples.py $(EXAMPLES)

venv: $(INSTALLED)

# Installs again only when the dependencies have changed; the code itself is installed editable.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "avseg needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "Installing avseg and PyTorch into $(VENV): a minute or two, longer where pip fetches the CUDA build."
	$(BIN)/python -m pip install --editable '.[train,draw,docs,notebook,dev]'
	@touch $@

# In an environment of its own: its fork of docstring_parser would overwrite the one cyclopts needs.
$(PYDOCLINT): constraints.txt | $(INSTALLED)
	$(PYTHON) -m venv $(VENV)/pydoclint
	$(VENV)/pydoclint/bin/python -m pip install --quiet pydoclint
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) build site .cache
