# make demo    install, then mark the sounding objects of the shipped clip
# make test    install, then run the tests
# make lint    install, then run every static check
# make venv    install only
# make clean   remove the virtual environment and the demo's result

PYTHON ?= python3
TEST_WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYDOCLINT := $(VENV)/pydoclint/bin/pydoclint
DEMO := demo_output

export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint venv clean

help:
	@sed -n 's/^# make/make/p' Makefile

demo: $(INSTALLED)
	$(BIN)/avseg segment examples/demo.mp4 -o $(DEMO)
	@echo
	@echo "Watch $(DEMO)/demo/overlay.mp4: what sounds lights up, while it sounds."
	@echo "One mask for each frame is in $(DEMO)/demo/masks/, the figures are in $(DEMO)/demo/result.json."

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(TEST_WORKERS)

lint: $(INSTALLED) $(PYDOCLINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYDOCLINT) --quiet src tests .ci

venv: $(INSTALLED)

# Installs again only when what is to be installed has changed; the code itself is installed editable.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "avseg needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1); name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@echo "Installing avseg and PyTorch into $(VENV): a minute or two, longer where pip fetches the CUDA build."
	$(BIN)/python -m pip install --editable '.[train,draw,dev]'
	@touch $@

# In an environment of its own: its fork of docstring_parser would overwrite the one cyclopts needs.
$(PYDOCLINT): constraints.txt | $(INSTALLED)
	$(PYTHON) -m venv $(VENV)/pydoclint
	$(VENV)/pydoclint/bin/python -m pip install --quiet pydoclint
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO)
