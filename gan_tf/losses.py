"""Pairs of losses on logits, and the penalties that keep a discriminator from being too steep. No sigmoid anywhere.

Each loss takes logits of any shape and returns a scalar, the mean over the batch. A positive logit says real. With
softplus(t) = log(1 + e^t), the binary cross-entropy of a logit t is softplus(-t) against the label 1 and softplus(t)
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


def discriminator_hinge(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))): 2 at zero logits. An image that is told by a margin of 1 counts no more
    (Lim and Ye 2017, arXiv:1705.02894, eq. 12)."""
    return tf.reduce_mean(tf.nn.relu(1.0 - real_logits)) + tf.reduce_mean(tf.nn.relu(1.0 + fake_logits))


def discriminator_wasserstein(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """D(G(z)) - D(x): minus the Wasserstein distance, as far as a critic D whose gradient is no longer than 1 can see
    it, hence `gradient_penalty` (Arjovsky et al. 2017, arXiv:1701.07875, eq. 2)."""
    return tf.reduce_mean(fake_logits) - tf.reduce_mean(real_logits)


def generator_wasserstein(fake_logits: tf.Tensor) -> tf.Tensor:
    """-D(G(z)), for the hinge loss too: its gradient by a logit is always the same."""
    return -tf.reduce_mean(fake_logits)


def discriminator_least_squares(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """((D(x) - 1)^2 + (D(G(z)) + 1)^2) / 2: 1 at zero logits. A fake that is told all too well still has a gradient
    (Mao et al. 2017, arXiv:1611.04076, eq. 8, whose labels -1, 1 and 0 leave the boundary at 0)."""
    return (tf.reduce_mean((real_logits - 1.0) ** 2) + tf.reduce_mean((fake_logits + 1.0) ** 2)) / 2


def generator_least_squares(fake_logits: tf.Tensor) -> tf.Tensor:
    """D(G(z))^2 / 2: onto the boundary (Mao et al. 2017, eq. 8)."""
    return tf.reduce_mean(fake_logits**2) / 2


def discriminator_relativistic(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """-log sigmoid(D(x) - D(G(z))): ln 2 = 0.693 at equal logits. Each real image is to be more real than the fake that
    it is paired with: binary cross-entropy on the difference (Jolicoeur-Martineau 2018, arXiv:1807.00734; with R1 and
    R2 as here in Huang et al. 2024, arXiv:2501.05441, eq. 1)."""
    return binary_cross_entropy(1.0, real_logits - fake_logits)


def generator_relativistic(fake_logits: tf.Tensor, real_logits: tf.Tensor) -> tf.Tensor:
    """-log sigmoid(D(G(z)) - D(x)): each fake is to be more real than its real image."""
    return binary_cross_entropy(1.0, fake_logits - real_logits)


def squared_slopes(discriminator: Callable[..., tf.Tensor], images: tf.Tensor) -> tf.Tensor:
    """The squared length of the gradient of each image's logit by its pixels, (N,)."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        # Each logit depends on its own image alone, so that the sum's gradient holds each one's.
        logits = tf.reduce_sum(discriminator(images, training=True))
    return tf.reduce_sum(tape.gradient(logits, images) ** 2, axis=range(1, len(images.shape)))


def zero_centred_penalty(discriminator: Callable[..., tf.Tensor], images: tf.Tensor) -> tf.Tensor:
    """The mean of `squared_slopes` over images (N, ...): 0 where the discriminator is flat around them, as it is at
    the end of the game. Half of gamma times this is added to its loss; R1 at real images, R2 at fakes (Mescheder et
    al. 2018, arXiv:1801.04406, eq. 9 and 10).
    """
    return tf.reduce_mean(squared_slopes(discriminator, images))


def gradient_penalty(
    discriminator: Callable[..., tf.Tensor], reals: tf.Tensor, fakes: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """The mean of (slope - 1)^2 at a random place between each real image and its fake, (N, ...) each. Lambda times
    this is added to a critic's loss (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3)."""
    shape = (tf.shape(reals)[0], *[1] * (len(reals.shape) - 1))
    between = reals + tf.random.stateless_uniform(shape, seed) * (fakes - reals)
    # A root has no gradient at 0.
    return tf.reduce_mean((tf.sqrt(squared_slopes(discriminator, between) + 1e-12) - 1.0) ** 2)


class Losses(NamedTuple):
    """What each player minimises."""

    discriminator: Callable[..., tf.Tensor]  # (real_logits, fake_logits) -> scalar
    generator: Callable[..., tf.Tensor]  # (fake_logits) -> scalar, or (fake_logits, real_logits) where paired
    zero: bool = True  # whether a logit of 0 means undecided; a critic's logits say only which of two is more real
    paired: bool = False


LOSSES = {
    "non-saturating": Losses(discriminator_bce, generator_non_saturating),
    "minimax": Losses(discriminator_bce, generator_minimax),
    "hinge": Losses(discriminator_hinge, generator_wasserstein),
    "wasserstein": Losses(discriminator_wasserstein, generator_wasserstein, zero=False),
    "least-squares": Losses(discriminator_least_squares, generator_least_squares),
    "relativistic": Losses(discriminator_relativistic, generator_relativistic, zero=False, paired=True),
}
