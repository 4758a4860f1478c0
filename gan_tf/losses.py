"""Six pairs of GAN losses on logits, and the gradient penalties that regularise a discriminator.

A logit is the discriminator's raw output: positive means "real", and D(x) = sigmoid(logit). Losses take logits of any
shape and return their mean over the batch, a scalar. Working on logits is exact where a probability would round to 0
or 1: with softplus(t) = log(1 + e^t), the binary cross-entropy of a logit t is softplus(-t) against the label 1 and
softplus(t) against the label 0, and `sigmoid_cross_entropy_with_logits` computes both without overflow.
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from gan_tf.replicas import own_rows


def binary_cross_entropy(label: float, logits: tf.Tensor) -> tf.Tensor:
    """Mean binary cross-entropy of `logits` against one label in [0, 1]."""
    labels = tf.fill(tf.shape(logits), tf.cast(label, logits.dtype))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def discriminator_bce(real_logits: tf.Tensor, fake_logits: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """-log D(x) - log(1 - D(G(z))); 2 ln 2 = 1.386 at zero logits (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1).

    `label_smoothing` in [0, 1) lowers the real label to 1 - label_smoothing. It is one-sided: a smoothed fake label
    would reward the generator for staying where it is (Salimans et al. 2016, arXiv:1606.03498, section 3.4).
    """
    real = binary_cross_entropy(1.0 - label_smoothing, real_logits)
    return real + binary_cross_entropy(0.0, fake_logits)


def generator_non_saturating(fake_logits: tf.Tensor) -> tf.Tensor:
    """-log D(G(z)); ln 2 = 0.693 at zero logits. The gradient is largest for confidently rejected fakes
    (Goodfellow et al. 2014, section 3)."""
    return binary_cross_entropy(1.0, fake_logits)


def generator_minimax(fake_logits: tf.Tensor) -> tf.Tensor:
    """log(1 - D(G(z))); -ln 2 at zero logits. The original game. Its gradient vanishes for confidently rejected fakes
    (Goodfellow et al. 2014, eq. 1)."""
    return -binary_cross_entropy(0.0, fake_logits)


def discriminator_hinge(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """max(0, 1 - logit(x)) + max(0, 1 + logit(G(z))); 2 at zero logits. Samples classified correctly with a margin of
    at least 1 contribute no loss (Lim and Ye 2017, arXiv:1705.02894, eq. 12)."""
    return tf.reduce_mean(tf.nn.relu(1.0 - real_logits)) + tf.reduce_mean(tf.nn.relu(1.0 + fake_logits))


def discriminator_wasserstein(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """logit(G(z)) - logit(x). For a critic that is 1-Lipschitz, its negative is a lower bound of the Wasserstein-1
    distance; `gradient_penalty` enforces the constraint (Arjovsky et al. 2017, arXiv:1701.07875, eq. 2)."""
    return tf.reduce_mean(fake_logits) - tf.reduce_mean(real_logits)


def generator_wasserstein(fake_logits: tf.Tensor) -> tf.Tensor:
    """-logit(G(z)), with a constant gradient per logit. The hinge loss uses it too."""
    return -tf.reduce_mean(fake_logits)


def discriminator_least_squares(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """((logit(x) - 1)^2 + (logit(G(z)) + 1)^2) / 2; 1 at zero logits. Confidently rejected fakes still give the
    generator a gradient (Mao et al. 2017, arXiv:1611.04076, eq. 8: targets 1 and -1 keep the threshold at 0)."""
    return (tf.reduce_mean((real_logits - 1.0) ** 2) + tf.reduce_mean((fake_logits + 1.0) ** 2)) / 2


def generator_least_squares(fake_logits: tf.Tensor) -> tf.Tensor:
    """logit(G(z))^2 / 2; 0 at zero logits: it pulls fakes onto the decision threshold (Mao et al. 2017, eq. 8)."""
    return tf.reduce_mean(fake_logits**2) / 2


def discriminator_relativistic(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """-log sigmoid(logit(x) - logit(G(z))); ln 2 at equal logits. Each real image is compared with one fake
    (Jolicoeur-Martineau 2018, arXiv:1807.00734; with R1 and R2, as here, in Huang et al. 2024, arXiv:2501.05441,
    eq. 2)."""
    return binary_cross_entropy(1.0, real_logits - fake_logits)


def generator_relativistic(fake_logits: tf.Tensor, real_logits: tf.Tensor) -> tf.Tensor:
    """-log sigmoid(logit(G(z)) - logit(x)): the same comparison with the roles exchanged."""
    return binary_cross_entropy(1.0, fake_logits - real_logits)


class LossFunctions(NamedTuple):
    """What the two players minimise, and what the loss needs to train at all."""

    discriminator: Callable[..., tf.Tensor]  # (real_logits, fake_logits) -> scalar
    generator: Callable[..., tf.Tensor]  # (fake_logits) -> scalar; (fake_logits, real_logits) if `paired`
    has_threshold: bool = True  # whether logit 0 separates real from fake; a critic's logits have no such zero
    paired: bool = False
    penalties: Mapping[str, float] = {}  # weights that this loss needs; no penalty otherwise


LOSSES = {
    "non-saturating": LossFunctions(discriminator_bce, generator_non_saturating),
    "minimax": LossFunctions(discriminator_bce, generator_minimax),
    "hinge": LossFunctions(discriminator_hinge, generator_wasserstein),
    "wasserstein": LossFunctions(
        discriminator_wasserstein, generator_wasserstein, has_threshold=False, penalties={"gradient_penalty": 10.0}
    ),
    "least-squares": LossFunctions(discriminator_least_squares, generator_least_squares),
    "relativistic": LossFunctions(
        discriminator_relativistic,
        generator_relativistic,
        has_threshold=False,
        paired=True,
        penalties={"r1": 1.0, "r2": 1.0},
    ),
}


def penalty_weights(name: str, **given: float | None) -> dict[str, float]:
    """The weights of r1, r2 and gradient_penalty: those of `given`, and where one is None, what the loss needs."""
    needed = {"r1": 0.0, "r2": 0.0, "gradient_penalty": 0.0, **LOSSES[name].penalties}
    return needed | {penalty: weight for penalty, weight in given.items() if weight is not None}


@functools.cache  # Health asks for it after each epoch.
def chance_losses(name: str) -> tuple[float, float]:
    """The losses of discriminator and generator when all logits are zero, that is, when nothing is learned yet."""
    zero, loss = tf.zeros((1, 1)), LOSSES[name]
    generator = loss.generator(zero, zero) if loss.paired else loss.generator(zero)
    return float(loss.discriminator(zero, zero)), float(generator)


def squared_gradient_norms(judge: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor) -> tf.Tensor:
    """The squared norm of the gradient of the summed logits with respect to each image of (N, ...): (N,). `judge` maps
    images to logits (N, 1).

    Where the discriminator treats images one by one, the sum's gradient holds each logit's own. With minibatch
    standard deviation or batch normalisation, logits depend on the whole batch, and the gradient includes an image's
    effect on its neighbours' logits, as it does in the papers that combine the two.
    """
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = tf.reduce_sum(judge(images))
    return tf.reduce_sum(tape.gradient(logits, images) ** 2, axis=range(1, len(images.shape)))


def zero_centred_penalty(judge: Callable[[tf.Tensor], tf.Tensor], images: tf.Tensor) -> tf.Tensor:
    """The mean of `squared_gradient_norms`; 0 where the discriminator is flat, as it is once the fakes match the data.

    gamma / 2 times this is added to the discriminator's loss: R1 at real images, R2 at fakes (Mescheder et al. 2018,
    arXiv:1801.04406, eq. 9 and 10).
    """
    return tf.reduce_mean(squared_gradient_norms(judge, images))


def gradient_penalty(
    judge: Callable[[tf.Tensor], tf.Tensor], reals: tf.Tensor, fakes: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """The mean of (gradient norm - 1)^2 at a random point between each real image and a fake, (N, ...) both.

    lambda times this is added to a critic's loss (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3). `seed` is (2,).
    """
    ones = [1] * (len(reals.shape) - 1)
    share = own_rows(lambda count: tf.random.stateless_uniform((count, *ones), seed), tf.shape(reals)[0])
    between = reals + share * (fakes - reals)
    # The small constant keeps the square root differentiable at 0.
    return tf.reduce_mean((tf.sqrt(squared_gradient_norms(judge, between) + 1e-12) - 1.0) ** 2)
