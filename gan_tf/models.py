"""The two players, as `keras.Sequential` of built-in layers only.

Both are DCGANs (Radford et al. 2016, arXiv:1511.06434) made small: the picture is halved or doubled by
strided convolutions, there is no pooling and no hidden dense layer. Built-in layers only, so that a saved
model opens with plain `keras.models.load_model` where gan_tf is not installed.
"""

import math

import keras
from keras import layers, ops

from gan_tf.config import SIZES


def channels(side: int, smallest: int, first: int, width: int) -> list[int]:
    """The channels at each halving of a side, from `first` on doubling up to `width`, until the side is `smallest`
    pixels or fewer: [32, 64, 128, 128] for 64, 4, 32, 128."""
    counts = []
    while side > smallest:
        side = math.ceil(side / 2)
        counts.append(min(width, first * 2 ** len(counts)))
    return counts


def check_side(image_shape: tuple[int, int, int]) -> int:
    """Height and width of an image. Raises ValueError where the players cannot be built for them."""
    height, length, _ = image_shape
    if height != length or height not in SIZES:
        raise ValueError(
            f"images of {height}x{length} pixels; the players need {', '.join(map(str, SIZES))} on each side"
        )
    return height


def policy(precision: str) -> str:
    """Keras's name for `Config.precision`: weights are float32 either way."""
    return "mixed_bfloat16" if precision == "bfloat16" else "float32"


def make_generator(
    image_shape: tuple[int, int, int] = (28, 28, 1), latent_dim: int = 64, width: int = 64, precision: str = "float32"
) -> keras.Sequential:
    """Latent vectors (N, latent_dim) from N(0, 1) -> images (N, height, width, channels) in [-1, 1].

    It starts at 3 to 7 pixels and doubles them until the image is full. `width` is the most channels that a layer
    may have: 32 before the last doubling, twice as many before each earlier one.
    """
    side, kind = check_side(image_shape), {"dtype": policy(precision)}
    *hidden, widest = channels(side, 7, 32, width)
    base = side // 2 ** (len(hidden) + 1)
    model = keras.Sequential(name="generator")
    model.add(keras.Input((latent_dim,)))
    # No bias before a batch normalisation: it would subtract it again.
    model.add(layers.Dense(base * base * widest, use_bias=False, **kind))
    model.add(layers.Reshape((base, base, widest), **kind))
    model.add(layers.BatchNormalization(**kind))
    model.add(layers.ReLU(**kind))
    for count in reversed(hidden):
        # The kernel (4) is a multiple of the stride (2), which keeps checkerboards out (Odena et al. 2016).
        model.add(layers.Conv2DTranspose(count, 4, strides=2, padding="same", use_bias=False, **kind))
        model.add(layers.BatchNormalization(**kind))
        model.add(layers.ReLU(**kind))
    # No layer but a mean of four works at the full resolution, where each costs most.
    model.add(layers.Conv2DTranspose(image_shape[2], 4, strides=2, padding="same", **kind))
    # Rows, and columns, come from different weights by turns; without the mean, a grid of two pixels stays visible.
    model.add(layers.AveragePooling2D(2, strides=1, padding="same", **kind))
    model.add(layers.Activation("tanh", dtype="float32"))
    return model


def make_discriminator(
    image_shape: tuple[int, int, int] = (28, 28, 1),
    width: int = 64,
    minibatch_std: bool = False,
    spectral_norm: bool = False,
    precision: str = "float32",
) -> keras.Sequential:
    """Images (N, height, width, channels) in [-1, 1] -> one logit each, (N, 1): positive says real.

    It halves the image until 3 or 4 pixels are left. `width` is the most channels that a layer may have: 16 after
    the first halving, twice as many after each further one. No sigmoid, as the losses take logits; no
    normalisation, so that an image's logit does not depend on the batch it came in, unless `minibatch_std`.
    `spectral_norm` divides each kernel by its largest singular value (Miyato et al. 2018, arXiv:1802.05957).
    """
    kind = {"dtype": policy(precision)}

    def bounded(layer):
        return layers.SpectralNormalization(layer, dtype=layer.dtype_policy) if spectral_norm else layer

    model = keras.Sequential(name="discriminator")
    model.add(keras.Input(image_shape))
    for count in channels(check_side(image_shape), 4, 16, width):
        model.add(bounded(layers.Conv2D(count, 4, strides=2, padding="same", **kind)))
        # The negative half keeps a slope, so that the generator gets a gradient from every logit.
        model.add(layers.LeakyReLU(negative_slope=0.2, **kind))
    if minibatch_std:
        model.add(minibatch_deviation(model.output_shape[1:]))
    model.add(layers.Flatten(**kind))
    model.add(bounded(layers.Dense(1, dtype="float32")))
    return model


def minibatch_deviation(shape: tuple[int, int, int]) -> keras.Model:
    """Features (N, height, width, channels) -> the same and one more channel, which holds how much the features
    differ within the batch, on average: 0 where all N are alike (Karras et al. 2018, arXiv:1710.10196, section 3).
    """
    features = keras.Input(shape)
    deviation = ops.mean(ops.sqrt(ops.var(ops.cast(features, "float32"), axis=0) + 1e-8))
    everywhere = ops.ones_like(features[..., :1]) * ops.cast(deviation, features.dtype)
    return keras.Model(features, ops.concatenate([features, everywhere], axis=-1), name="minibatch_std")
