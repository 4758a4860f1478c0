"""What the tests of a run share: a Config with narrow networks, and a run's folder."""

import dataclasses

import pytest

from gan_tf.run.folder import Run


@pytest.fixture
def config(config):
    return dataclasses.replace(config, width=16)


@pytest.fixture
def run(tmp_path, config, images):
    return Run.create(tmp_path / "run", config, images, fallback=None)
