"""What the tests share: a data set of nothing but shapes, and a Config that trains on it in a second."""

import os
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
