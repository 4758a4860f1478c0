import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.config import preset_config
from gan_tf.run.build import Decay, build_gan, extend, first_phase


@pytest.fixture
def config(config):
    return dataclasses.replace(config, width=16)


def weights(gan):
    return [v.numpy() for model in (gan.generator, gan.discriminator, gan.ema_generator) for v in model.variables]


def test_initial_weights_depend_on_the_seed_and_leave_the_global_random_state_alone(config):
    first = weights(build_gan(config, (28, 28, 1)))
    keras.utils.set_random_seed(1)
    expected = np.random.standard_normal(3), tf.random.normal((3,)).numpy()
    keras.utils.set_random_seed(1)
    again = weights(build_gan(config, (28, 28, 1)))
    drawn = np.random.standard_normal(3), tf.random.normal((3,)).numpy()
    np.testing.assert_array_equal(drawn, expected)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    other = weights(build_gan(dataclasses.replace(config, seed=4), (28, 28, 1)))
    assert not np.array_equal(first[0], other[0])


def test_what_the_config_says_reaches_the_gan(config):
    fields = {"loss": "relativistic", "r2": 3.0, "d_steps": 2, "ema": 0.5, "flip": True, "augment": ("color",)}
    gan = build_gan(dataclasses.replace(config, **fields, d_learning_rate=0.5, learning_rate=0.25), (32, 32, 3))
    assert (gan.r1, gan.r2, gan.d_steps, gan.ema, gan.flip, gan.augmentations) == (1.0, 3.0, 2, 0.5, True, ("color",))
    assert (float(gan.g_optimizer.learning_rate), float(gan.d_optimizer.learning_rate)) == (0.25, 0.5)
    assert gan.generator.output_shape == gan.discriminator.input_shape == (None, 32, 32, 3)
    assert gan.g_optimizer.built and gan.d_optimizer.built and gan.latent_dim == 8


@pytest.mark.parametrize(
    "kind, expected",
    [("linear", [2, 2, 2, 2, 2, 1.5, 1, 0.5, 0]), ("cosine", [1 + np.cos(np.pi * i / 8) for i in range(9)])],
)
def test_a_decay_ends_at_zero(kind, expected):
    decay = Decay(2.0, kind, [(0, 8)])
    np.testing.assert_allclose([float(decay(step)) for step in range(9)], expected, atol=1e-6)


def test_a_second_phase_warms_up_and_decays_again():
    once, twice = Decay(1.0, "linear", [(0, 100)]), Decay(1.0, "linear", [(0, 100), (100, 300)])
    rates = [float(twice(step)) for step in range(301)]
    np.testing.assert_allclose(rates[:100], [float(once(step)) for step in range(100)])
    # 5% of 200 steps, then constant until the middle of the phase, then down to 0.
    np.testing.assert_allclose(rates[100:110], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], atol=1e-6)
    np.testing.assert_allclose(rates[110:201], 1)
    np.testing.assert_allclose(rates[201:], np.linspace(0.99, 0, 100), atol=1e-6)


def test_the_discriminator_has_one_step_size_for_all_updates_of_a_step():
    decay, slow = Decay(1.0, "cosine", [(0, 10)]), Decay(1.0, "cosine", [(0, 10)], updates_per_step=3)
    assert [float(slow(update)) for update in range(30)] == [float(decay(update // 3)) for update in range(30)]


@pytest.mark.parametrize("decay, more", [("none", [(0, 12)]), ("linear", [(0, 8), (8, 12)])])
def test_only_a_run_with_decay_gets_another_phase(config, images, decay, more):
    config = dataclasses.replace(config, decay=decay)
    phases = first_phase(images, config)
    assert phases == [(0, 8)]
    assert extend(phases, 8, config) == extend(phases, 4, config) == phases
    assert extend(phases, 12, config) == more


def test_a_decay_needs_to_know_how_long_the_run_is():
    config = preset_config("mnist", decay="cosine")
    with pytest.raises(ValueError, match="pass phases=first_phase"):
        build_gan(config, (28, 28, 1))
    rate = build_gan(config, (28, 28, 1), phases=[(0, 10)]).g_optimizer.learning_rate
    assert float(rate) == pytest.approx(config.learning_rate)


@pytest.fixture
def half(config):
    """A GAN in float16 whose next step applies R1, and a batch."""
    gan = build_gan(dataclasses.replace(config, precision="float16", r1=1.0), (28, 28, 1))
    return gan, tf.constant(np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), np.uint8))


@pytest.mark.parametrize("size", [1.0, 1e-5])
def test_in_float16_gradients_are_those_of_float32_also_where_they_are_small(half, config, size):
    """Without scaling, the small ones would be 0."""
    gan, batch = half
    exact = build_gan(dataclasses.replace(config, r1=1.0), (28, 28, 1))
    for model in (gan, exact):
        fns = model.loss_fns
        model.r1 *= size
        model.d_loss_fn = lambda *logits, fns=fns: size * fns.discriminator(*logits)
        model.loss_fns = fns._replace(generator=lambda *logits, fns=fns: size * fns.generator(*logits))
        model.train_step(batch)
    for name in ("d_gradient", "g_gradient"):
        expected = float(exact.trackers[name].result())
        assert float(gan.trackers[name].result()) == pytest.approx(expected, rel=0.02) and expected > 0.01 * size
    assert gan.generator.layers[0].compute_dtype == "float16" and weights(gan)[0].dtype == np.float32


def test_in_float16_an_update_whose_gradients_overflow_is_skipped(half):
    gan, batch = half
    trained = [*gan.generator.trainable_variables, *gan.discriminator.trainable_variables]
    before = [variable.numpy().copy() for variable in trained]
    for optimizer in (gan.d_optimizer, gan.g_optimizer):
        optimizer.dynamic_scale.assign(2.0**60)
    gan.train_step(batch)
    for old, variable in zip(before, trained, strict=True):
        np.testing.assert_array_equal(old, variable.numpy())
    assert float(gan.d_optimizer.dynamic_scale) == float(gan.g_optimizer.dynamic_scale) == 2.0**59
    assert float(gan.trackers["d_gradient"].result()) == float(gan.trackers["g_gradient"].result()) == 0
    assert int(gan.step) == 1 and np.isfinite(float(gan.trackers["d_loss"].result()))


@pytest.mark.parametrize(
    "name", ["gpu-64", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gpu-256", "gpu-512"))]
)
def test_a_preset_for_a_gpu_has_dcgans_widths_and_takes_a_step(name):
    config = preset_config("creatures", preset=name, batch_size=2, steps_per_epoch=1)
    gan = build_gan(config, (config.image_size, config.image_size, 3))
    for player in (gan.generator, gan.discriminator):
        widths = [layer.filters for layer in player.layers if hasattr(layer, "filters") and layer.filters > 3]
        assert (min(widths), max(*widths, player.layers[0].output.shape[-1] // 16)) == (64, 512)
    shape = (2, config.image_size, config.image_size, 3)
    logs = gan.train_step(tf.constant(np.random.default_rng(0).integers(0, 256, shape, np.uint8)))
    assert np.isfinite([float(value) for value in logs.values()]).all() and int(gan.step) == 1
