"""Differentiable augmentation: what lets a GAN learn from a thousand pictures.

With few pictures the discriminator learns them by heart, and what it tells the generator is then worth nothing.
If it sees reals and fakes only through random changes, there are too many versions to learn; as the changes are
differentiable, the generator still gets a gradient through them, and does not learn to draw the changes
(Zhao et al. 2020, arXiv:2006.10738). Every random number is drawn from a seed, (2,) integers, and nothing else.

Each function takes images (N, height, width, channels) and returns as many, of the same shape and range.
"""

import tensorflow as tf


def uniform(images: tf.Tensor, seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """One number in [low, high) for each image, shaped (N, 1, 1, 1)."""
    return tf.random.stateless_uniform((tf.shape(images)[0], 1, 1, 1), seed, low, high, images.dtype)


def flip(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Mirror each image with a chance of one half."""
    return tf.where(uniform(images, seed, 0, 1) < 0.5, images[:, :, ::-1], images)


def background(images: tf.Tensor) -> tf.Tensor:
    """Each image's own background, (N, 1, 1, channels): the mean of its outermost pixels. Where an image has been moved
    or cut, this fills the gap; grey, as in the paper, would be a thing that no real image has."""
    rows = tf.reduce_mean(images[:, :: images.shape[1] - 1], axis=(1, 2), keepdims=True)
    columns = tf.reduce_mean(images[:, :, :: images.shape[2] - 1], axis=(1, 2), keepdims=True)
    return (rows + columns) / 2


def color(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Brightness by up to a quarter of the range, saturation by 0 to 2 times, contrast by a half to 1.5 times."""
    seeds = tf.unstack(tf.random.split(seed, 3))
    images += uniform(images, seeds[0], -0.5, 0.5)
    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    images = grey + (images - grey) * uniform(images, seeds[1], 0, 2)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * uniform(images, seeds[2], 0.5, 1.5)


def translation(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Move by up to an eighth of the side, along both axes, in whole pixels."""
    behind, side = background(images), images.shape[1]
    reach = side // 8
    # Without its background the image is surrounded by zeros, which padding can give.
    images = tf.pad(images - behind, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    for axis, own in zip((1, 2), tf.unstack(tf.random.split(seed)), strict=True):
        first = tf.random.stateless_uniform((tf.shape(images)[0], 1), own, 0, 2 * reach + 1, tf.int32)
        images = tf.gather(images, first + tf.range(side), axis=axis, batch_dims=1)
    return images + behind


def cutout(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Cut out a square of half the side, its middle anywhere in the image."""
    side, inside = images.shape[1], 1.0
    pixels = tf.range(side, dtype=images.dtype) + 0.5
    for shape, own in zip(((1, side, 1, 1), (1, 1, side, 1)), tf.unstack(tf.random.split(seed)), strict=True):
        away = tf.abs(tf.reshape(pixels, shape) - uniform(images, own, 0, side))
        inside *= tf.cast(away < side / 4, images.dtype)
    return images + (background(images) - images) * inside


AUGMENTATIONS = {"color": color, "translation": translation, "cutout": cutout}


def augment(images: tf.Tensor, kinds: tuple[str, ...], seed: tf.Tensor) -> tf.Tensor:
    """Images through each of `kinds`, in turn."""
    for number, kind in enumerate(kinds):
        images = AUGMENTATIONS[kind](images, tf.random.fold_in(seed, number))
    return images
