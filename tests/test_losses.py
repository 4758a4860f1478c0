import math

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.losses import (
    LOSSES,
    discriminator_bce,
    discriminator_hinge,
    discriminator_least_squares,
    discriminator_relativistic,
    discriminator_wasserstein,
    generator_least_squares,
    generator_minimax,
    generator_non_saturating,
    generator_relativistic,
    generator_wasserstein,
    gradient_penalty,
    zero_centred_penalty,
)

ZERO = tf.zeros((6, 1))


def test_losses_at_zero_logits():
    assert float(discriminator_bce(ZERO, ZERO)) == pytest.approx(2 * math.log(2))
    assert float(generator_non_saturating(ZERO)) == pytest.approx(math.log(2))
    assert float(generator_minimax(ZERO)) == pytest.approx(-math.log(2))


def test_against_values_computed_by_hand():
    # sigmoid(ln 3) = 3/4 and sigmoid(-ln 4) = 1/5.
    real, fake = tf.constant([[math.log(3)]]), tf.constant([[-math.log(4)]])
    assert float(discriminator_bce(real, fake)) == pytest.approx(-math.log(3 / 4) - math.log(4 / 5))
    assert float(generator_non_saturating(fake)) == pytest.approx(-math.log(1 / 5))
    assert float(generator_minimax(fake)) == pytest.approx(math.log(4 / 5))
    smoothed = -0.9 * math.log(3 / 4) - 0.1 * math.log(1 / 4) - math.log(4 / 5)
    assert float(discriminator_bce(real, fake, label_smoothing=0.1)) == pytest.approx(smoothed, rel=1e-6)


def test_the_mean_over_the_batch():
    real, fake = tf.constant([[1.0], [-2.0]]), tf.constant([[0.5], [3.0]])
    expected = np.log1p(np.exp([-1.0, 2.0])).mean() + np.log1p(np.exp([0.5, 3.0])).mean()
    assert float(discriminator_bce(real, fake)) == pytest.approx(expected, rel=1e-6)


def test_no_overflow_where_a_sigmoid_would():
    sure = tf.constant([[1e4]])
    assert float(discriminator_bce(sure, -sure)) == 0.0
    assert float(generator_non_saturating(-sure)) == pytest.approx(1e4)


def test_only_the_minimax_gradient_vanishes_when_the_discriminator_is_sure():
    logits = tf.Variable([[-12.0]])
    gradients = []
    for loss in (generator_non_saturating, generator_minimax):
        with tf.GradientTape() as tape:
            value = loss(logits)
        gradients.append(float(tape.gradient(value, logits)[0, 0]))
    assert gradients[0] == pytest.approx(-1, abs=1e-4)
    assert -1e-4 < gradients[1] < 0


def test_r1_is_the_squared_gradient_at_each_real_image_on_its_own():
    weights = tf.constant(np.random.default_rng(0).standard_normal((2, 3, 1)), tf.float32)
    reals = tf.constant(np.random.default_rng(1).standard_normal((5, 2, 3, 1)), tf.float32)

    def linear(images):
        return tf.reduce_sum(weights * images, axis=(1, 2, 3))[:, None]

    def quadratic(images):
        return tf.reduce_sum(images**2, axis=(1, 2, 3))[:, None]

    assert float(zero_centred_penalty(linear, reals)) == pytest.approx(float(tf.reduce_sum(weights**2)), rel=1e-5)
    expected = 4 * float(tf.reduce_mean(tf.reduce_sum(reals**2, axis=(1, 2, 3))))
    assert float(zero_centred_penalty(quadratic, reals)) == pytest.approx(expected, rel=1e-5)


def test_r1_has_a_gradient_by_the_discriminators_weights():
    scale = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        penalty = zero_centred_penalty(lambda images: scale * tf.reduce_sum(images, axis=1), tf.ones((4, 2)))
    assert float(penalty) == pytest.approx(18)
    assert float(tape.gradient(penalty, scale)) == pytest.approx(12)


def test_the_other_losses_by_hand():
    real, fake = tf.constant([[2.0], [0.5]]), tf.constant([[-3.0], [0.25]])
    assert float(discriminator_hinge(real, fake)) == pytest.approx((0 + 0.5) / 2 + (0 + 1.25) / 2)
    assert float(discriminator_wasserstein(real, fake)) == pytest.approx(-1.375 - 1.25)
    assert float(generator_wasserstein(fake)) == pytest.approx(1.375)
    assert float(discriminator_least_squares(real, fake)) == pytest.approx(((1 + 0.25) / 2 + (4 + 1.5625) / 2) / 2)
    assert float(generator_least_squares(fake)) == pytest.approx((9 + 0.0625) / 2 / 2)
    pairs = np.array([2.0 + 3.0, 0.5 - 0.25])
    assert float(discriminator_relativistic(real, fake)) == pytest.approx(np.log1p(np.exp(-pairs)).mean(), rel=1e-5)
    assert float(generator_relativistic(fake, real)) == pytest.approx(np.log1p(np.exp(pairs)).mean(), rel=1e-5)


def test_a_relativistic_loss_is_cross_entropy_on_a_difference():
    real, fake = tf.constant([[0.3], [2.0]]), tf.constant([[1.0], [-1.0]])
    assert float(discriminator_relativistic(real, fake)) == float(generator_non_saturating(real - fake))
    assert float(discriminator_relativistic(real + 7, fake + 7)) == pytest.approx(
        float(discriminator_relativistic(real, fake)), rel=1e-5
    )


@pytest.mark.parametrize("name", LOSSES)
def test_each_player_of_each_loss_pulls_its_own_way(name):
    losses, logits = LOSSES[name], tf.Variable([[0.1], [-0.2]])
    with tf.GradientTape() as tape:
        loss = losses.discriminator(logits, ZERO[:2])
    assert np.all(tape.gradient(loss, logits) < 0)  # Reals up,
    with tf.GradientTape() as tape:
        loss = losses.discriminator(ZERO[:2], logits)
    assert np.all(tape.gradient(loss, logits) > 0)  # fakes down,
    fakes = tf.Variable([[-0.1], [-0.2]])
    with tf.GradientTape() as tape:
        loss = losses.generator(fakes, ZERO[:2]) if losses.paired else losses.generator(fakes)
    assert np.all(tape.gradient(loss, fakes) < 0)  # and up again.


def test_gradient_penalty_of_a_critic_with_a_known_slope():
    weights = tf.constant(np.random.default_rng(0).standard_normal((2, 3, 1)), tf.float32)
    reals, fakes = tf.random.stateless_normal((2, 5, 2, 3, 1), (1, 2))
    slope = float(tf.norm(weights))

    def linear(images):
        return tf.reduce_sum(weights * images, axis=(1, 2, 3))[:, None]

    assert float(gradient_penalty(linear, reals, fakes, (0, 1))) == pytest.approx((slope - 1) ** 2, rel=1e-4)
    flat = gradient_penalty(lambda images: 0 * linear(images), reals, fakes, (0, 1))
    assert float(flat) == pytest.approx(1, abs=1e-5)


def test_gradient_penalty_looks_between_each_real_image_and_its_fake():
    seen = []

    def critic(images):
        seen.append(images.numpy())
        return tf.reduce_sum(images**2, axis=(1, 2, 3))

    reals, fakes = tf.fill((50, 2, 2, 1), 1.0), tf.fill((50, 2, 2, 1), 3.0)
    penalties = [float(gradient_penalty(critic, reals, fakes, (0, seed))) for seed in (1, 1, 2)]
    at = seen[0].reshape(50, 4)
    np.testing.assert_allclose(at, at[:, :1].repeat(4, axis=1), rtol=1e-6)  # One place for each image.
    assert 1 <= at.min() < 1.3 and 2.7 < at.max() <= 3
    assert penalties[0] == penalties[1] != penalties[2]
    slopes = np.linalg.norm(2 * at, axis=1)
    assert penalties[0] == pytest.approx(np.mean((slopes - 1) ** 2), rel=1e-4)
