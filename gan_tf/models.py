"""Generator and discriminator, as `keras.Sequential`.

Both are small DCGANs (Radford et al. 2016, arXiv:1511.06434): strided convolutions halve or double the image, with no
pooling and no hidden dense layer. A saved model consists of built-in layers only, so plain `keras.models.load_model`
opens it where gan_tf is not installed.
"""

import math

import keras
import numpy as np
from keras import layers, ops

from gan_tf.config import SIDES

SMOOTHED = 28  # Pixels of the longer side from which on a doubling ends with a mean, see `add_doubling`.


def halvings(image_shape: tuple[int, int, int], smallest: int) -> list[tuple[int, int]]:
    """(height, width) after each halving of an image shape (height, width, channels), rounded up, until the longer side
    is at most `smallest` pixels. For example [(32, 48), (16, 24), (8, 12), (4, 6)] for ((64, 96, 3), 7). Raises
    ValueError for a side not in config.SIDES."""
    height, width, _ = image_shape
    if height not in SIDES or width not in SIDES:
        raise ValueError(f"images of {width}x{height} pixels; both sides must be 28 or a multiple of 8 up to 512")
    sides = []
    while max(height, width) > smallest:
        height, width = math.ceil(height / 2), math.ceil(width / 2)
        sides.append((height, width))
    return sides


def channels(count: int, first: int, width: int) -> list[int]:
    """The channels after each of `count` halvings: `first`, doubling, and never more than `width`. For example
    [32, 64, 128, 128] for (4, 32, 128)."""
    return [min(width, first * 2**number) for number in range(count)]


def policy(precision: str) -> str:
    """The Keras dtype policy of `Config.precision`. Weights are float32 in all."""
    return precision if precision == "float32" else f"mixed_{precision}"


class Initializers:
    """Keras's default kernel initialiser, with one seed per layer drawn from `seed`; no global random state is read or
    changed. With `seed` None, Keras draws the seeds itself."""

    def __init__(self, seed: int | None, player: int):
        self.random = None if seed is None else np.random.default_rng([seed, player])

    def __call__(self) -> keras.initializers.Initializer:
        seed = None if self.random is None else int(self.random.integers(2**31))
        return keras.initializers.GlorotUniform(seed=seed)


def make_generator(
    image_shape: tuple[int, int, int] = (28, 28, 1),
    latent_dim: int = 64,
    width: int = 64,
    precision: str = "float32",
    classes: int = 0,
    seed: int | None = None,
    min_width: int | None = None,
) -> keras.Sequential:
    """A network from latents (N, latent_dim), drawn from N(0, 1), to images (N, height, width, channels) in [-1, 1].
    With classes, from latents and one-hot labels, (N, latent_dim + classes).

    It starts with 4 to 7 pixels along the longer side and doubles both sides up to the image's. The last doubling has
    `min_width` input channels, by default 32, and each earlier one twice as many as the next, up to `width`. Raises
    ValueError for a side not in config.SIDES.
    """
    kind, kernel = {"dtype": policy(precision)}, Initializers(seed, player=0)
    *between, start = halvings(image_shape, 7)
    *hidden, widest = channels(len(between) + 1, min_width or 32, width)
    model = keras.Sequential(name="generator")
    model.add(keras.Input((latent_dim + classes,)))
    # No bias before batch normalisation, which would subtract it again.
    model.add(layers.Dense(math.prod(start) * widest, use_bias=False, kernel_initializer=kernel(), **kind))
    model.add(layers.Reshape((*start, widest), **kind))
    model.add(layers.BatchNormalization(**kind))
    model.add(layers.ReLU(**kind))
    for count, sides in zip(reversed(hidden), reversed(between), strict=True):
        add_doubling(model, count, sides, use_bias=False, kernel_initializer=kernel(), **kind)
        model.add(layers.BatchNormalization(**kind))
        model.add(layers.ReLU(**kind))
    add_doubling(model, image_shape[2], image_shape[:2], kernel_initializer=kernel(), **kind)
    model.add(layers.Activation("tanh", dtype="float32"))
    return model


def add_doubling(model: keras.Sequential, count: int, sides: tuple[int, int], **options) -> None:
    """Append layers that double the sides, to (N, *sides, count). Where a side is odd, the last row or column is one
    too many and is cut off.

    Checkerboards: a kernel (4) that is a multiple of the stride (2) overlaps evenly (Odena et al. 2016,
    doi:10.23915/distill.00003), but even and odd pixels still come from different weights, which is a grid of period 2.
    The mean over 2x2 pixels removes exactly that one, and the next doubling has none left to enlarge. On small images
    each pixel is needed, and no grid was seen that came from there.
    """
    model.add(layers.Conv2DTranspose(count, 4, strides=2, padding="same", **options))
    if max(model.output_shape[1:3]) >= SMOOTHED:
        model.add(layers.AveragePooling2D(2, strides=1, padding="same", dtype=options.get("dtype")))
    rows, columns = (doubled - side for doubled, side in zip(model.output_shape[1:3], sides, strict=True))
    if rows or columns:
        model.add(layers.Cropping2D(((0, rows), (0, columns)), dtype=options.get("dtype")))


def make_discriminator(
    image_shape: tuple[int, int, int] = (28, 28, 1),
    width: int = 64,
    minibatch_std: bool = False,
    spectral_norm: bool = False,
    precision: str = "float32",
    classes: int = 0,
    seed: int | None = None,
    min_width: int | None = None,
) -> keras.Sequential:
    """A network from images (N, height, width, channels) in [-1, 1] to one logit each, (N, 1); positive means real.
    With classes, to one logit per class, (N, classes); positive means a real image of that class.

    It halves both sides until 3 or 4 pixels are left of the longer one. The first halving has `min_width` output
    channels, by default 16, and each further one twice as many, up to `width`. There is no sigmoid, because the losses
    take logits, and no normalisation, so a logit depends on its own image alone unless `minibatch_std` is set.
    `spectral_norm` divides each kernel by its spectral norm; `to_plain` turns the trained network into built-in layers.

    Raises ValueError for a side not in config.SIDES.
    """
    kind, kernel = {"dtype": policy(precision)}, Initializers(seed, player=1)
    conv, dense = (SpectralConv2D, SpectralDense) if spectral_norm else (layers.Conv2D, layers.Dense)
    model = keras.Sequential(name="discriminator")
    model.add(keras.Input(image_shape))
    for count in channels(len(halvings(image_shape, 4)), min_width or 16, width):
        model.add(conv(count, 4, strides=2, padding="same", kernel_initializer=kernel(), **kind))
        # The negative side keeps a slope, so every logit passes a gradient to the generator.
        model.add(layers.LeakyReLU(negative_slope=0.2, **kind))
    if minibatch_std:
        model.add(minibatch_deviation(model.output_shape[1:]))
    model.add(layers.Flatten(**kind))
    model.add(dense(max(1, classes), kernel_initializer=kernel(), dtype="float32"))
    return model


MINIBATCH_STD = "minibatch_std"


def minibatch_deviation(shape: tuple[int, int, int]) -> keras.Model:
    """Appends one channel to features (N, height, width, channels): the standard deviation over the batch, averaged
    over all features; 0 where all N are alike (Karras et al. 2018, arXiv:1710.10196, section 3)."""
    features = keras.Input(shape)
    deviation = ops.mean(ops.sqrt(ops.var(ops.cast(features, "float32"), axis=0) + 1e-8))
    everywhere = ops.ones_like(features[..., :1]) * ops.cast(deviation, features.dtype)
    return keras.Model(features, ops.concatenate([features, everywhere], axis=-1), name=MINIBATCH_STD)


def mixes_batch(model: keras.Model) -> bool:
    """Whether the output for one image depends on the others in its batch. Reals and fakes then need separate calls."""
    return any(layer.name == MINIBATCH_STD or isinstance(layer, layers.BatchNormalization) for layer in model.layers)


class Spectral(layers.Layer):
    """Spectral normalisation: a layer computes with W / sigma(W), where sigma is the largest singular value of its
    kernel, as a matrix of (inputs, outputs) (Miyato et al. 2018, arXiv:1802.05957, algorithm 1 and eq. 8).

    `u` approximates the first right singular vector. One step of power iteration before each update of the
    discriminator keeps it up to date, because weights move slowly. Calling the layer changes nothing, and the gradient
    passes through sigma. Keras's own wrapper instead writes the divided kernel back at every training call, the
    generator's included, and passes no gradient through sigma.
    """

    def build(self, input_shape) -> None:
        super().build(input_shape)
        seed = self.kernel_initializer.seed  # type: ignore[attr-defined]
        start = keras.initializers.RandomNormal(seed=seed)
        self.u = self.add_weight(shape=(self.kernel.shape[-1],), initializer=start, trainable=False, name="u")

    def matrix(self):
        return ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))

    def power_iteration(self) -> None:
        """One step of power iteration: moves `u` toward the first right singular vector."""
        left = ops.normalize(ops.matmul(self.matrix(), self.u))
        self.u.assign(ops.normalize(ops.matmul(left, self.matrix())))

    def normalised_kernel(self):
        """The kernel divided by sigma = v W u, with u and v held constant: d sigma / dW is then v u^T."""
        right = ops.stop_gradient(ops.cast(self.u, self.kernel.dtype))
        left = ops.stop_gradient(ops.normalize(ops.matmul(self.matrix(), right)))
        return self.kernel / ops.matmul(ops.matmul(left, self.matrix()), right)


class SpectralConv2D(Spectral, layers.Conv2D):
    """A Conv2D with a spectrally normalised kernel."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, self.normalised_kernel())


class SpectralDense(Spectral, layers.Dense):
    """A Dense layer with a spectrally normalised kernel, without activation."""

    def call(self, inputs, training=None):
        return ops.matmul(inputs, self.normalised_kernel()) + self.bias


def power_iteration(model: keras.Model) -> None:
    """One step of power iteration in each spectrally normalised layer of `model`."""
    for layer in model.layers:
        if isinstance(layer, Spectral):
            layer.power_iteration()


def to_plain(model: keras.Sequential) -> keras.Sequential:
    """`model` as built-in layers that compute the same: normalised kernels are stored divided. Returns `model` itself
    where nothing is spectrally normalised."""
    if not any(isinstance(layer, Spectral) for layer in model.layers):
        return model
    plain = keras.Sequential([keras.Input(model.input_shape[1:])], name=model.name)
    for layer in model.layers:
        if isinstance(layer, Spectral):
            builtin = layers.Conv2D if isinstance(layer, layers.Conv2D) else layers.Dense
            plain.add(builtin.from_config(layer.get_config()))
            plain.layers[-1].set_weights([ops.convert_to_numpy(layer.normalised_kernel()), layer.bias.numpy()])
        else:
            plain.add(layer)
    return plain


def to_float32(model: keras.Sequential) -> keras.Sequential:
    """A copy of `model` with the same weights that computes in float32, whatever its precision was. Its input is named
    "inputs"."""
    copies = [type(layer).from_config({**layer.get_config(), "dtype": "float32"}) for layer in model.layers]
    copy = keras.Sequential([keras.Input(model.input_shape[1:], name="inputs"), *copies], name=model.name)
    copy.set_weights(model.get_weights())
    return copy
