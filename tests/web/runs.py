"""Runs for the tests of the page: narrow networks with random weights, without training."""

from pathlib import Path

import keras
import numpy as np

from gan_tf.config import Config
from gan_tf.data.images import ImageDataset
from gan_tf.models import make_discriminator, make_generator
from gan_tf.run.folder import Run

LATENTS = 8


def shake(model: keras.Model, seed: int) -> None:
    """Random numbers for all biases and batch statistics, which a new model has at 0 and 1, and larger kernels, so that
    pictures have contrast."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        values = np.asarray(weight)
        if values.ndim > 1:
            weight.assign(4 * values)
        elif "gamma" in weight.path or "variance" in weight.path:
            weight.assign(random.uniform(0.5, 1.5, values.shape))
        else:
            weight.assign(random.normal(0, 0.2, values.shape))


def make_run(
    folder: Path, size: int | str = 28, channels: int = 1, labels: tuple[str, ...] = (), seed: int = 0, **options
) -> Run:
    """A run's folder with both models. `options` are those of Config."""
    options = {"latent_dim": LATENTS, "width": 16, "conditional": bool(labels), **options}
    config = Config(dataset="squares", image_size=size, **options)
    shape = (*config.sides, channels)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, *shape), np.uint8)
    numbers = np.arange(12) % len(labels) if labels else None
    run = Run.create(folder, config, ImageDataset("squares", pixels, numbers, "tests", labels), None)
    generator = make_generator(shape, config.latent_dim, config.width, config.precision, len(labels), seed)
    discriminator = make_discriminator(shape, config.width, config.minibatch_std, False, "float32", len(labels), seed)
    for path, model in ((run.generator_keras, generator), (run.discriminator_keras, discriminator)):
        shake(model, seed)
        model.save(path)
    return run
