import math

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.losses import discriminator_bce, generator_minimax, generator_non_saturating, r1_penalty

ZERO = tf.zeros((6, 1))


def test_at_zero_logits():
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

    def linear(images, training):
        return tf.reduce_sum(weights * images, axis=(1, 2, 3))[:, None]

    def quadratic(images, training):
        return tf.reduce_sum(images**2, axis=(1, 2, 3))[:, None]

    assert float(r1_penalty(linear, reals)) == pytest.approx(float(tf.reduce_sum(weights**2)), rel=1e-5)
    expected = 4 * float(tf.reduce_mean(tf.reduce_sum(reals**2, axis=(1, 2, 3))))
    assert float(r1_penalty(quadratic, reals)) == pytest.approx(expected, rel=1e-5)


def test_r1_has_a_gradient_by_the_discriminators_weights():
    scale = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        penalty = r1_penalty(lambda images, training: scale * tf.reduce_sum(images, axis=1), tf.ones((4, 2)))
    assert float(penalty) == pytest.approx(18)
    assert float(tape.gradient(penalty, scale)) == pytest.approx(12)
