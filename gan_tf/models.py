"""The two players, as `keras.Sequential` of built-in layers only.

Both are DCGANs (Radford et al. 2016, arXiv:1511.06434) made small: the picture is halved or doubled by
strided convolutions, there is no pooling and no hidden dense layer. Built-in layers only, so that a saved
generator opens with plain `keras.models.load_model` where gan_tf is not installed.
"""

import math

import keras
from keras import layers


def halvings(size: int) -> int:
    """How often a side of `size` pixels can be halved before it is 7 pixels or fewer: 2 for 28, 4 for 64."""
    count = 0
    while size > 7:
        if size % 2:
            raise ValueError(f"a side of {size} pixels cannot be halved; use 28, 32, 64, 96, 128, 256 or 512")
        size, count = size // 2, count + 1
    return count


def make_generator(
    image_shape: tuple[int, int, int] = (28, 28, 1), latent_dim: int = 64, width: int = 64
) -> keras.Sequential:
    """Latent vectors (N, latent_dim) from N(0, 1) -> images (N, height, width, channels) in [-1, 1].

    `width` is the channel count at the smallest resolution; it halves each time the resolution doubles.
    """
    height, length, channels = image_shape
    doublings = halvings(height)
    base = (height // 2**doublings, length // 2**doublings, width)
    model = keras.Sequential(name="generator")
    model.add(keras.Input((latent_dim,)))
    # No bias before a batch normalisation: it would subtract it again.
    model.add(layers.Dense(math.prod(base), use_bias=False))
    model.add(layers.Reshape(base))
    model.add(layers.BatchNormalization())
    model.add(layers.ReLU())
    for i in range(1, doublings):
        # The kernel (4) is a multiple of the stride (2), which keeps checkerboards out (Odena et al. 2016).
        model.add(layers.Conv2DTranspose(max(width // 2**i, 16), 4, strides=2, padding="same", use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    # No layer works at the full resolution, where each costs most.
    model.add(layers.Conv2DTranspose(channels, 4, strides=2, padding="same", activation="tanh"))
    return model


def make_discriminator(image_shape: tuple[int, int, int] = (28, 28, 1), width: int = 16) -> keras.Sequential:
    """Images (N, height, width, channels) in [-1, 1] -> one logit each, (N, 1): positive says real.

    No sigmoid, as the losses take logits; no normalisation, so that an image's logit does not depend on the
    batch it came in. `width` is the channel count after the first halving; it doubles with each one.
    """
    model = keras.Sequential(name="discriminator")
    model.add(keras.Input(image_shape))
    for i in range(halvings(image_shape[0]) + 1):
        model.add(layers.Conv2D(width * 2**i, 4, strides=2, padding="same"))
        # The negative half keeps a slope, so that the generator gets a gradient from every logit.
        model.add(layers.LeakyReLU(negative_slope=0.2))
    model.add(layers.Flatten())
    model.add(layers.Dense(1))
    return model
