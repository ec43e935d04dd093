# The two commands: `make train` and `make test`. Both make what they need.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
WORKDIR ?= runs/mnist_5k
FLAGS ?=

# Makes an environment in a folder, and installs into it. With `make UV=uv`, as in CI, uv
# does so in a tenth of pip's time.
ifdef UV
new-venv = $(UV) venv --quiet --seed --clear --python $(PYTHON) $(1)
install-in = $(UV) pip install --quiet --python $(1)/bin/python
else
new-venv = $(PYTHON) -m venv $(1)
install-in = $(1)/bin/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: install install-dev train lesson test test-fast test-extras test-site lint docs \
    package bench bench-torch clean

# A stamp per set of packages: nothing is installed twice.
$(VENV)/.installed: pyproject.toml setup.py
	$(call new-venv,$(VENV))
	$(call install-in,$(VENV)) -e '.[experiments,mnist-5k]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(call install-in,$(VENV)) -e '.[dev]'
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(call install-in,$(VENV)) -e '.[docs]'
	touch $@

$(VENV)-extras/.installed: pyproject.toml setup.py
	$(call new-venv,$(VENV)-extras)
	$(call install-in,$(VENV)-extras) \
	    -e '.[experiments,export,onnx,wandb,mlflow,trackio]' pytest tensorboard
	touch $@

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

train: install
	$(BIN)/python -m experiments.train --config=configs/mnist_5k.py --workdir=$(WORKDIR) \
	    $(FLAGS)
	@echo "next:    . $(BIN)/activate"
	@echo "         python -m experiments.sample --workdir=$(WORKDIR) --out=runs/samples.png"

# With DATA, a folder that holds MNIST, it renews docs/lesson.md and docs/lesson/.
lesson: install
	$(BIN)/python -m docs.lesson_tools \
	    --out=$(if $(DATA),docs/lesson --data_dir=$(DATA),runs/lesson/figures)

# A file's tests share what they train, so a file stays with one worker. Files come in the
# order of tests/conftest.py.
PYTEST = $(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

test: install-dev
	$(PYTEST)

test-fast: install-dev
	$(PYTEST) -m 'not slow'

# The extra `onnx` needs an older orbax, and trackers an older pillow: what depends on
# them, in a place of its own.
test-extras: $(VENV)-extras/.installed
	$(VENV)-extras/bin/python -m pytest -q -k "onnx or checkpoint" \
	    tests/test_export.py tests/storage/test_checkpoints.py
	$(VENV)-extras/bin/python -m pytest -q \
	    tests/storage/test_tracker_packages.py tests/test_export_weights.py

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Compares with PyTorch if `make bench-torch` was run; DATA is a folder that holds MNIST.
bench: install-dev
	$(BIN)/python -m benchmarks $(if $(DATA),--data_dir=$(DATA)) \
	    $(if $(wildcard $(VENV)-torch/.installed),--torch=$(VENV)-torch/bin/python)

bench-torch: $(VENV)-torch/.installed

$(VENV)-torch/.installed:
	$(call new-venv,$(VENV)-torch)
	$(call install-in,$(VENV)-torch) torch torchvision pythae
	touch $@

# The site, in docs/_build/html. The notebook is run; a warning is an error.
docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -E -W --keep-going -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

# The site in a browser, as a reader sees it.
test-site: install-dev docs
	VAE_JAX_SITE=docs/_build/html $(BIN)/python -m pytest -q tests/test_site.py

# Wheel and sdist, in dist/.
package: install-dev
	rm -rf build dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) $(VENV)-extras $(VENV)-torch build dist *.egg-info docs/_build
