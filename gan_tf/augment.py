"""Differentiable augmentation: random changes that let a GAN learn from about a thousand images.

With few images, the discriminator memorises them, and its gradient no longer tells the generator anything. If it sees
reals and fakes only after random changes, there are too many versions to memorise. The changes are differentiable, so
the generator still gets a gradient; and because reals are changed too, it does not learn to draw the changes
(Zhao et al. 2020, arXiv:2006.10738). All random numbers come from a seed, (2,) integers.

Each function takes images (N, height, width, channels) in [-1, 1] and returns images of the same shape.
"""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from gan_tf.replicas import own_rows


def uniform(images: tf.Tensor, seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """One uniform number in [low, high) per image, (N, 1, 1, 1)."""
    return own_rows(
        lambda count: tf.random.stateless_uniform((count, 1, 1, 1), seed, low, high, images.dtype), tf.shape(images)[0]
    )


def whole_numbers(images: tf.Tensor, seed: tf.Tensor, high: int) -> tf.Tensor:
    """One integer from 0 to high - 1 per image, (N, 1)."""
    return own_rows(lambda count: tf.random.stateless_uniform((count, 1), seed, 0, high, tf.int32), tf.shape(images)[0])


def flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirror each image with probability 1/2."""
    return tf.where(uniform(images, seed, 0, 1) < 0.5, images[:, :, ::-1], images)


def background(images: tf.Tensor) -> tf.Tensor:
    """The mean colour of each image's border, (N, 1, 1, channels). It fills the gaps that translation and cutout
    leave; the paper's grey would be something that no real image contains."""
    rows = tf.reduce_mean(images[:, :: images.shape[1] - 1], axis=(1, 2), keepdims=True)
    columns = tf.reduce_mean(images[:, :, :: images.shape[2] - 1], axis=(1, 2), keepdims=True)
    return (rows + columns) / 2


def color(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift brightness by up to a quarter of the range, scale saturation by 0 to 2 and contrast by 0.5 to 1.5. The
    opacity of transparent images, their fourth channel, stays."""
    seeds = tf.unstack(tf.random.split(seed, 3))
    images, opacity = images[..., :3], images[..., 3:]
    images += uniform(images, seeds[0], -0.5, 0.5)
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * uniform(images, seeds[1], 0, 2)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return tf.concat([mean + (images - mean) * uniform(images, seeds[2], 0.5, 1.5), opacity], axis=3)


def translation(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift by up to an eighth of the side along each axis: by multiples of 4 pixels at a side of 64, and of other
    powers of two at other sides.

    Shifts by any number of pixels would hide a grid from the discriminator: in images that are shifted by 0, 1, 2 or 3
    pixels, a grid of period 4 looks different each time, but after 0, 4 or 8 always the same.
    """
    behind = background(images)
    images = images - behind  # This makes the background zero, which is what padding inserts. (-= fails on a variable.)
    for axis, own in zip((1, 2), tf.unstack(tf.random.split(seed)), strict=True):
        side = images.shape[axis]
        # The largest power of two of which at least two steps fit into an eighth of the side.
        step = 2 ** int(math.log2(max(1, side // 16)))
        steps = side // 8 // step
        reach = steps * step
        padded = tf.pad(images, [(reach, reach) if of == axis else (0, 0) for of in range(4)])
        first = step * whole_numbers(images, own, 2 * steps + 1)
        images = tf.gather(padded, first + tf.range(side), axis=axis, batch_dims=1)
    return images + behind


def cutout(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Replace a rectangle of half the height and half the width, centred anywhere in the image, by the background."""
    _, height, width, _ = images.shape
    inside = 1.0
    for shape, own in zip(((1, height, 1, 1), (1, 1, width, 1)), tf.unstack(tf.random.split(seed)), strict=True):
        side = max(shape)
        pixels = tf.range(side, dtype=images.dtype) + 0.5
        distance = tf.abs(tf.reshape(pixels, shape) - uniform(images, own, 0, side))
        inside *= tf.cast(distance < side / 4, images.dtype)
    return images + (background(images) - images) * inside


AUGMENTATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "color": color,
    "translation": translation,
    "cutout": cutout,
}


def augment(images: tf.Tensor, kinds: Sequence[str], seed: tf.Tensor) -> tf.Tensor:
    """Apply each of `kinds`, keys of AUGMENTATIONS, in turn."""
    for number, kind in enumerate(kinds):
        images = AUGMENTATIONS[kind](images, tf.random.fold_in(seed, number))
    return images
