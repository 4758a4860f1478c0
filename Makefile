# make train: handwritten fives out of noise, in half a minute. make test: lint and tests, about four minutes.
# The first call creates .venv and installs everything; later calls install again only if the requirements changed.

PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif

.PHONY: train test test-all notebooks pretrained site bench lock clean

train: .venv/installed
	$(BIN)/python -m gan_tf.train --dataset mnist --digit 5

test: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q

# What `make test` leaves out. `make test test-all` runs nothing twice.
test-all: test .venv/extras
	$(BIN)/pyright -p . --pythonpath $(BIN)/python
	@command -v chromium >/dev/null || $(CHROMIUM)
	$(BIN)/python -m pytest -q -m 'export or slow'
	$(BIN)/python -m pytest -q -n 1 -m browser

# Without a browser, the tests that need one are skipped and say so.
CHROMIUM = { [ "$$(id -u)" = 0 ] && command -v apt-get && apt-get update -q && apt-get install -y -q chromium; } || true

# For the outputs that the repository stores, put MNIST, Pokemon and animal_faces into data/ first.
notebooks: .venv/installed
	$(BIN)/python notebooks/make.py

# The generators in pretrained/, anew. Put MNIST and Fashion-MNIST into data/ first.
pretrained: .venv/installed
	$(BIN)/python pretrained/make.py

# docs/, anew: the gallery, a page for each generator in pretrained/, and the playground.
site: .venv/installed
	$(BIN)/python docs/playground/build.py
	$(BIN)/python docs/gallery/build.py

bench: .venv/installed
	$(BIN)/python benchmarks/mnist_five.py

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "gan_tf needs Python 3.10 to 3.13, like TensorFlow. Name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/installed: .venv/created requirements.txt pyproject.toml
	@echo "Installing TensorFlow, Jupyter and pytest. This takes a few minutes, once."
	$(BIN)/python -m pip install --quiet -r requirements.txt
	touch $@

.venv/extras: .venv/installed
	$(BIN)/python -m pip install --quiet -e ".[browser,export,sweep]"
	touch $@

# What CI installs: the newest and the oldest versions that pyproject.toml allows, with their hashes. Needs uv.
LOCK = uv pip compile --quiet --generate-hashes --no-annotate --no-emit-package gan_tf --python-version 3.10 --upgrade
lock:
	$(LOCK) --universal --extra browser --extra export --extra sweep -o .ci/newest.txt requirements.txt pyproject.toml
	$(LOCK) --resolution lowest-direct -o .ci/oldest.txt requirements.txt

clean:
	rm -rf .venv .pytest_cache .ruff_cache gan_tf.egg-info
