# make train: handwritten fives from nothing, in half a minute. make test: the tests.
# Each makes its own .venv first, and installs nothing again while the requirements stay as they are.

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif

.PHONY: train test notebooks bench clean

train: .venv/installed
	$(BIN)/python -m gan_tf.train --dataset mnist --digit 5

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q

# With MNIST, Pokemon and animal_faces in data/, as theirs are the stored outputs.
notebooks: .venv/installed-notebooks
	$(BIN)/python notebooks/make.py

bench: .venv/installed
	$(BIN)/python benchmarks/mnist_five.py

.venv/bin-made:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "gan_tf needs Python 3.10 to 3.13, as TensorFlow does; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/bin-made requirements.txt
	@echo "Installing TensorFlow and what else requirements.txt names; this takes some minutes, once."
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/installed-test: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --quiet -e ".[test]"
	touch $@

.venv/installed-notebooks: .venv/installed pyproject.toml
	$(BIN)/python -m pip install --quiet -e ".[notebooks]"
	touch $@

clean:
	rm -rf .venv .pytest_cache .ruff_cache gan_tf.egg-info
