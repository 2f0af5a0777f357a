# Every target sets up what it needs: a fresh clone and `make demo` or `make test` is all.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A process a core; threads sleep while they wait, or they would stand in each other's way.
TEST := OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n auto --dist loadfile
STAMP := $(VENV)/.installed
SOURCES := $(wildcard kernels/rawdiff_kernels/*/*.cpp kernels/rawdiff_kernels/*/*.h)

.PHONY: demo test test-all lint types imports check clean

$(STAMP): pyproject.toml $(SOURCES) $(wildcard hatch_build.py)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m benchmarks.demo

test: check
	$(TEST)

test-all: check
	$(TEST) -m ""

check: lint types imports

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist demo
