"""The way back: the latent vector whose image is nearest to a given picture.

There is no formula for it, but there is a gradient: Adam moves the latent vector instead of the weights (Lipton and
Tripathi 2017, arXiv:1702.04782). The descent may end in a bad place, so it starts from several.
"""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from gan_tf.common.errors import InputError
from gan_tf.data.decoding import Failed, attempt, convert, fill_hidden, open_picture, pillow_warnings
from gan_tf.gan import sample, to_unit_range

STARTS = 8  # The nearest of the fakes that a descent begins with.
STEPS = 300
STEP_SIZE = 0.1  # Adam's.


@dataclasses.dataclass(frozen=True)
class Projection:
    """What was found, and how near it is. Errors are root mean squares over the pixels, in grey levels."""

    inputs: np.ndarray  # the generator's, float32 (1, latent_dim + classes)
    image: np.ndarray  # uint8 (1, height, width, channels)
    error: float
    first_error: float  # that of the nearest of the fakes that it began with


def read_picture(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """A picture file as uint8 (1, height, width, channels), in the generator's size; `shape` is (height, width,
    channels). It becomes grey for a grey generator, and is put on white unless the generator draws transparent ones.
    Raises InputError for one of another size, and if it is none."""
    height, width, channels = shape

    def read() -> np.ndarray:
        with open_picture(path) as picture:
            picture.load()
            converted = np.array(convert(picture, channels, "white"))
            return fill_hidden(converted.reshape(*converted.shape[:2], channels), "white")

    with pillow_warnings():
        pixels = attempt(read)
    if isinstance(pixels, Failed):
        raise InputError(f"{path} cannot be read as a picture ({pixels.reason}): name a PNG, JPEG or WebP file.")
    if pixels.shape[:2] != (height, width):
        raise InputError(
            f"{path} has {pixels.shape[1]}x{pixels.shape[0]} pixels, but the generator draws {width}x{height}: resize "
            "it to that first."
        )
    return pixels[np.newaxis]


def project(
    generator: keras.Model, picture: np.ndarray, candidates: Iterable[np.ndarray], latent_dim: int
) -> Projection:
    """The nearest image to `picture`, uint8 (1, height, width, channels), by mean squared error.

    `candidates` are batches of inputs, (N, latent_dim + classes). It starts from those STARTS of them whose images are
    nearest. Their first `latent_dim` numbers move, their labels stay.
    """
    goal, batches = to_unit_range(picture), list(candidates)
    first = np.concatenate([grey_levels(sample(generator, batch), picture) for batch in batches])
    starts = np.concatenate(batches)[np.argsort(first)[:STARTS]].astype(np.float32)
    latents, labels = tf.Variable(starts[:, :latent_dim]), tf.constant(starts[:, latent_dim:])
    adam = keras.optimizers.Adam(STEP_SIZE)
    adam.build([latents])

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            images = generator(tf.concat([latents, labels], axis=1), training=False)
            # A sum over the starts, so that each goes its own way.
            error = tf.reduce_sum(tf.reduce_mean((images - goal) ** 2, axis=(1, 2, 3)))
        adam.apply([tape.gradient(error, latents)], [latents])

    for _ in range(STEPS):
        step()
    found = np.concatenate([latents.numpy(), labels.numpy()], axis=1)
    images = sample(generator, found)
    errors = grey_levels(images, picture)
    best = slice(errors.argmin(), errors.argmin() + 1)
    return Projection(found[best], images[best], float(errors.min()), float(first.min()))


def grey_levels(images: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """The root mean squared difference of uint8 images (N, height, width, channels) to one picture, (N,)."""
    return np.sqrt(np.mean((images.astype(np.float32) - picture) ** 2, axis=(1, 2, 3)))
