# Two commands: `make demo` and `make test`. Both make .venv on first use and install from PyPI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test fast lint clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-warn-script-location --upgrade pip
	$(BIN)/python -m pip install --quiet --no-warn-script-location -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/vecguard demo

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fast: $(VENV)/.installed
	$(BIN)/pytest -q -m 'not slow'

test: lint
	$(BIN)/pytest -q

clean:
	rm -rf $(VENV) vecguard-demo build dist *.egg-info
