# Two commands: `make demo` and `make test`. Both make .venv on first use and install from PyPI.
# `make test` also makes two environments for the frameworks and the older pymilvus line: no pymilvus suits all of them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# More processes than the two cores, as tests wait for servers half of the time. A file's tests share their servers, and
# run in the order of tests/conftest.py: what takes long first.
SIDE_BY_SIDE := --dist loadfile --no-loadscope-reorder
SIDE_VENVS := .venv-frameworks .venv-pymilvus2

.PHONY: demo test fast lint protos clean $(SIDE_VENVS)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-warn-script-location --upgrade pip
	$(BIN)/python -m pip install --quiet --no-warn-script-location -c constraints.txt -e '.[dev]'
	touch $@

# The extra and the constraints file of each are named after its folder: frameworks, pymilvus2.
$(SIDE_VENVS): .venv-%: .venv-%/.installed

.venv-%/.installed: pyproject.toml constraints-%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --no-warn-script-location --upgrade pip
	.venv-$*/bin/python -m pip install --quiet --no-warn-script-location -c constraints-$*.txt -e '.[$*]'
	touch $@

# What the demonstration needs, which is a small part of what development does.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-warn-script-location --upgrade pip
	$(BIN)/python -m pip install --quiet --no-warn-script-location -c constraints.txt -e '.[demo]'
	touch $@

demo: $(VENV)/.demo
	$(BIN)/vecguard demo

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The oldest generator whose modules work with the oldest protobuf that pyproject.toml allows. A test compares.
protos:
	$(PYTHON) -m venv .venv-protos
	.venv-protos/bin/python -m pip install --quiet grpcio-tools==1.74.0
	.venv-protos/bin/python -m grpc_tools.protoc -I proto --python_out=. --pyi_out=. proto/vecguard/v1/admin.proto

fast: $(VENV)/.installed
	$(BIN)/pytest -q -n 3 $(SIDE_BY_SIDE) -m 'not slow'  # short tests wait less, and each process reads all files

test: lint $(SIDE_VENVS)
	$(BIN)/pytest -q -n 4 $(SIDE_BY_SIDE)

clean:
	rm -rf $(VENV) $(SIDE_VENVS) .venv-protos vecguard-demo build dist *.egg-info
