# Two commands do everything: `make demo` and `make test`. Both make the environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := runs/clothing

.PHONY: demo docs test test-slow lint format install mini-weights clean
.DELETE_ON_ERROR:

# The stamp is rebuilt when the dependencies change, so a second `make` needs no network.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "naturalize needs Python 3.11 or newer; say which with make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt --no-deps ofa
	touch $@

install: $(VENV)/installed

demo: install
	rm -rf $(RUN)
	$(BIN)/naturalize transfer clothing --budget 3m --out $(RUN)
	$(BIN)/naturalize export $(RUN) --format onnx --to $(RUN)/model.onnx

lint: install
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: install
	$(BIN)/python -m pytest -m slow -rA

format: install
	$(BIN)/ruff check --fix src tests benchmarks tools
	$(BIN)/ruff format src tests benchmarks tools

# The site, in site/; open site/index.html. A warning ends it: a link to nowhere, a page outside the menu.
docs: install
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Hours on a CPU; goes on where it was stopped.
mini-weights: install
	$(BIN)/python tools/mini_weights.py --data ../shared/data --run runs/mini --epochs 36 --bundle

clean:
	rm -rf $(VENV) runs site
