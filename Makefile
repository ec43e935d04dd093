# The two commands: `make train` and `make test`. Both make what they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WORKDIR ?= runs/digits

.PHONY: install install-dev train lesson test test-fast lint clean

# A stamp per set of packages: nothing is installed twice.
$(VENV)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[experiments]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed .ci/requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

train: install
	$(BIN)/python -m experiments.train --config=configs/digits.py --workdir=$(WORKDIR)

# With DATA, a folder that holds MNIST, it renews docs/lesson.md and docs/lesson/.
lesson: install
	$(BIN)/python -m experiments.lesson \
	    --out=$(if $(DATA),docs/lesson --data_dir=$(DATA),runs/lesson/figures)

test: install-dev
	$(BIN)/python -m pytest -q

test-fast: install-dev
	$(BIN)/python -m pytest -q -m 'not slow'

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info
