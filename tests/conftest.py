"""What the tests share: a data set of nothing but shapes, and a Config that trains on it in a second."""

import os
import re
from collections.abc import Iterable

# Before NumPy is imported. Two processes test at once, and BLAS threads of both would spin against each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest

from gan_tf.config import Config
from gan_tf.data.images import ImageDataset

# The files that take longest. They begin first, so that both processes end at about the same time.
LONGEST = (
    "test_notebooks.py",
    "test_train.py",
    "test_gan.py",
    "test_health.py",
    "test_evaluate.py",
    "test_features.py",
    "test_page.py",
)


def mostly_slow(values: Iterable, *quick) -> list:
    """Parameters for a test that takes seconds for each: `make test` runs it for the `quick` ones, `make test-all` for
    all."""
    return [pytest.param(value, marks=() if value in quick else pytest.mark.slow) for value in values]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def no_data_of_the_developer(monkeypatch, tmp_path):
    """No test may find, or touch, what lies in the environment, the home directory or the current one."""
    monkeypatch.delenv("GAN_TF_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


@pytest.fixture
def config():
    return Config(dataset="digits", epochs=2, steps_per_epoch=4, batch_size=4, latent_dim=8, seed=3)


@pytest.fixture
def images():
    """A white square on black, a little different each time: anything that learns gets near it quickly."""
    random = np.random.default_rng(0)
    pixels = np.zeros((24, 28, 28, 1), np.uint8)
    pixels[:, 8:20, 8:20] = random.integers(200, 256, (24, 12, 12, 1))
    return ImageDataset("squares", pixels, None, "tests")


@pytest.fixture
def disk_calls(monkeypatch):
    """The renames and the flushes to disk that happen, in order: ("replace", new name), ("flush", name), or ("flush of
    temporary", new name) for a file that has its name only later. Only those of Python's os."""
    calls, opened = [], {}
    inner_open, inner_fsync, inner_replace = os.open, os.fsync, os.replace

    def open_(path, *rest, **more):
        descriptor = inner_open(path, *rest, **more)
        opened[descriptor] = os.path.basename(path)
        return descriptor

    def fsync(descriptor):
        temporary = re.fullmatch(r"\.[0-9]+\.(.*)", opened[descriptor])
        calls.append(("flush of temporary", temporary[1]) if temporary else ("flush", opened[descriptor]))
        inner_fsync(descriptor)

    def replace(source, target):
        calls.append(("replace", os.path.basename(target)))
        inner_replace(source, target)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return calls
