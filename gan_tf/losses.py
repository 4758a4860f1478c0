"""Pairs of losses on logits: real is 1, fake is 0, and no sigmoid anywhere.

Each function takes logits of any shape and returns a scalar, the mean over the batch. With softplus(t) =
log(1 + e^t), the binary cross-entropy of a logit t is softplus(-t) against the label 1 and softplus(t)
against the label 0; `sigmoid_cross_entropy_with_logits` computes just that without overflow.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf


def binary_cross_entropy(label: float, logits: tf.Tensor) -> tf.Tensor:
    """The mean binary cross-entropy of `logits` against one label in [0, 1] for all of them."""
    labels = tf.fill(tf.shape(logits), tf.cast(label, logits.dtype))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def discriminator_bce(real_logits: tf.Tensor, fake_logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """-log D(x) - log(1 - D(G(z))): 2 ln 2 = 1.386 at zero logits (Goodfellow et al. 2014, eq. 1).

    `label_smoothing` in [0, 1) takes the real label to 1 minus itself. It is one-sided, fakes stay 0: a
    smoothed fake label would reward the generator for staying where it is (Salimans et al. 2016, section 3.4).
    """
    real = binary_cross_entropy(1.0 - label_smoothing, real_logits)
    return real + binary_cross_entropy(0.0, fake_logits)


def generator_non_saturating(fake_logits: tf.Tensor) -> tf.Tensor:
    """-log D(G(z)): ln 2 = 0.693 at zero logits. Its gradient is largest where the discriminator is surest
    that the image is a fake (Goodfellow et al. 2014, section 3)."""
    return binary_cross_entropy(1.0, fake_logits)


def generator_minimax(fake_logits: tf.Tensor) -> tf.Tensor:
    """log(1 - D(G(z))): -ln 2 at zero logits. The original game, whose gradient vanishes where the
    discriminator is sure that the image is a fake (Goodfellow et al. 2014, eq. 1)."""
    return -binary_cross_entropy(0.0, fake_logits)


def r1_penalty(discriminator: Callable[..., tf.Tensor], reals: tf.Tensor) -> tf.Tensor:
    """The squared length of the gradient of a real image's logit by its pixels, mean over the batch (N, ...): 0 where
    the discriminator is flat around the real images, as it is at the end of the game. Half of gamma times this is
    added to its loss (Mescheder et al. 2018, arXiv:1801.04406, eq. 9).
    """
    with tf.GradientTape() as tape:
        tape.watch(reals)
        # Each logit depends on its own image alone, so that the sum's gradient holds each one's.
        logits = tf.reduce_sum(discriminator(reals, training=True))
    gradients = tape.gradient(logits, reals)
    return tf.reduce_sum(gradients**2) / tf.cast(tf.shape(reals)[0], gradients.dtype)


class Losses(NamedTuple):
    """What each player minimises."""

    discriminator: Callable[..., tf.Tensor]  # (real_logits, fake_logits, label_smoothing) -> scalar
    generator: Callable[[tf.Tensor], tf.Tensor]  # (fake_logits) -> scalar


LOSSES = {
    "non-saturating": Losses(discriminator_bce, generator_non_saturating),
    "minimax": Losses(discriminator_bce, generator_minimax),
}
