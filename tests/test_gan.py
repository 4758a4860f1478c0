import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.datasets import batches
from gan_tf.gan import GAN, draw, to_uint8, to_unit_range
from gan_tf.losses import generator_minimax


def weights(model):
    return [variable.numpy().copy() for variable in model.variables]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def first_batch(images, config):
    return next(iter(batches(images, config)))


def test_pixels_go_to_the_unit_range_and_back():
    pixels = np.arange(256, dtype=np.uint8)
    there = to_unit_range(pixels)
    assert (float(there[0]), float(there[255])) == (-1, 1)
    np.testing.assert_array_equal(to_uint8(there), pixels)


def test_each_update_moves_one_player_and_leaves_the_other_to_the_bit(config, images):
    gan = GAN(config, images.shape)
    reals = to_unit_range(first_batch(images, config))
    with tf.GradientTape() as tape:
        fakes = gan.generator(gan.latents(4, 0), training=True)
    generator, discriminator = weights(gan.generator), weights(gan.discriminator)
    gan.update_discriminator(reals, fakes)
    assert same(weights(gan.generator), generator) and not same(weights(gan.discriminator), discriminator)
    discriminator = weights(gan.discriminator)
    gan.update_generator(tape, fakes)
    assert not same(weights(gan.generator), generator) and same(weights(gan.discriminator), discriminator)


def test_each_loss_falls_while_the_other_player_stands_still(config, images):
    gan = GAN(config, images.shape)
    reals, latents = to_unit_range(first_batch(images, config)), gan.latents(4, 0)
    fakes = gan.generator(latents, training=True)
    d_losses = [float(gan.update_discriminator(reals, fakes)[0]) for _ in range(20)]
    assert d_losses[-1] < 0.5 * d_losses[0]
    g_losses = []
    for _ in range(20):
        with tf.GradientTape() as tape:
            fakes = gan.generator(latents, training=True)
        g_losses.append(float(gan.update_generator(tape, fakes)[0]))
    assert g_losses[-1] < 0.5 * g_losses[0]


def test_the_images_move_toward_the_data(config, images):
    config = dataclasses.replace(config, epochs=4, steps_per_epoch=60, batch_size=8, learning_rate=5e-3, ema=0.9)
    gan = GAN(config, images.shape)
    latents = np.random.default_rng(0).standard_normal((16, 8))
    mean = images.images.mean(axis=0)

    def distance():
        return np.abs(draw(gan.ema_generator, latents) - mean).mean()

    before = distance()
    gan.fit(images, verbose=0)
    assert distance() < 0.4 * before


def test_one_trace_over_many_batches_and_epochs(config, images, monkeypatch):
    traced = []
    step = GAN.train_step
    monkeypatch.setattr(GAN, "train_step", lambda self, data: traced.append(1) or step(self, data))
    gan = GAN(config, images.shape)
    gan.fit(images, epochs=3, verbose=0)
    assert (len(traced), int(gan.step)) == (1, 12)


def test_the_step_compiles_under_xla_and_agrees(config, images, monkeypatch):
    # XLA has other normal numbers for the same seed.
    monkeypatch.setattr(GAN, "latents", lambda self, count, update: tf.reshape(tf.linspace(-2.0, 2.0, 32), (4, 8)))
    compiled, plain = GAN(config, images.shape), GAN(config, images.shape)
    batch = first_batch(images, config)
    ours = tf.function(compiled.train_step, jit_compile=True)(batch)
    theirs = plain.train_step(batch)
    for name in theirs:
        assert float(ours[name]) == pytest.approx(float(theirs[name]), abs=1e-4), name


def test_the_average_after_k_steps(config, images):
    gan = GAN(dataclasses.replace(config, ema=0.75), images.shape)
    expected = weights(gan.generator)
    for batch in batches(images, config).take(3):
        gan.train_step(batch)
        expected = [0.75 * e + 0.25 * w for e, w in zip(expected, weights(gan.generator), strict=True)]
    for average, value in zip(weights(gan.ema_generator), expected, strict=True):
        np.testing.assert_allclose(average, value, rtol=1e-5, atol=1e-6)


def test_no_average_is_the_generator_itself(config, images):
    gan = GAN(dataclasses.replace(config, ema=0.0), images.shape)
    gan.fit(images, epochs=1, verbose=0)
    for average, weight in zip(weights(gan.ema_generator), weights(gan.generator), strict=True):
        np.testing.assert_allclose(average, weight, rtol=1e-5, atol=1e-6)


def test_the_same_seed_gives_the_same_run_to_the_bit_and_another_seed_another(config, images):
    runs = []
    for seed in (3, 3, 4):
        gan = GAN(dataclasses.replace(config, seed=seed), images.shape)
        gan.fit(images, epochs=1, verbose=0)
        runs.append(weights(gan.generator) + weights(gan.discriminator) + weights(gan.ema_generator))
    assert same(runs[0], runs[1])
    assert not any(np.array_equal(a, b) for a, b in zip(runs[0], runs[2], strict=True) if a.size > 100)


def test_d_steps_are_that_many_updates_each_on_new_reals_and_new_fakes(config, images, monkeypatch):
    seen = []
    update = GAN.update_discriminator
    monkeypatch.setattr(
        GAN,
        "update_discriminator",
        lambda self, reals, fakes: seen.append((reals, fakes)) or update(self, reals, fakes),
    )
    config = dataclasses.replace(config, d_steps=3)
    gan = GAN(config, images.shape)
    gan.train_step(first_batch(images, config))
    assert len(seen) == 3 and int(gan.d_optimizer.iterations) == 3 and int(gan.g_optimizer.iterations) == 1
    for players in zip(*seen, strict=True):
        a, b, c = (player.numpy() for player in players)
        assert a.shape == (4, 28, 28, 1)
        assert not np.array_equal(a, b) and not np.array_equal(b, c) and not np.array_equal(a, c)


def test_the_logs_are_what_their_names_say(config, images):
    gan = GAN(config, images.shape)
    batch = first_batch(images, config)
    reals, fakes = to_unit_range(batch), gan.generator(gan.latents(4, 0), training=True)
    before = gan.discriminator(tf.concat([reals, fakes], 0))
    logs = gan.train_step(batch)
    assert list(logs) == ["d_loss", "g_loss", "D(x)", "D(G(z))_before", "D(G(z))_after"]
    assert float(logs["D(x)"]) == pytest.approx(float(tf.reduce_mean(tf.sigmoid(before[:4]))), abs=1e-5)
    assert float(logs["D(G(z))_before"]) == pytest.approx(float(tf.reduce_mean(tf.sigmoid(before[4:]))), abs=1e-5)
    after = tf.reduce_mean(tf.sigmoid(gan.discriminator(fakes)))
    assert float(logs["D(G(z))_after"]) == pytest.approx(float(after), abs=1e-5)
    assert float(logs["D(G(z))_after"]) < float(logs["D(G(z))_before"])


def test_minimax_and_label_smoothing_are_used_when_asked_for(config, images):
    batch = first_batch(images, config)
    minimax = GAN(dataclasses.replace(config, loss="minimax"), images.shape)
    assert float(minimax.train_step(batch)["g_loss"]) < 0
    assert minimax.losses_of.generator is generator_minimax
    plain = GAN(config, images.shape).train_step(batch)
    smoothed = GAN(dataclasses.replace(config, label_smoothing=0.5), images.shape).train_step(batch)
    assert float(plain["d_loss"]) != float(smoothed["d_loss"])


def test_latents_are_new_normal_numbers_at_every_step_and_update_and_again_the_same(config, images):
    gan = GAN(dataclasses.replace(config, d_steps=2), images.shape)
    drawn = []
    for step in range(3):
        gan.step.assign(step)
        drawn += [gan.latents(500, update).numpy() for update in range(2)]
    for i, a in enumerate(drawn):
        assert a.shape == (500, 8) and abs(a.mean()) < 0.06 and abs(a.std() - 1) < 0.06
        assert all(abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.06 for b in drawn[:i])
    np.testing.assert_array_equal(gan.latents(500, 1), drawn[-1])


def test_adam_gets_the_configs_numbers(config, images):
    gan = GAN(dataclasses.replace(config, learning_rate=0.01, beta_1=0.3, beta_2=0.8), images.shape)
    for adam in (gan.g_optimizer, gan.d_optimizer):
        assert (float(adam.learning_rate), adam.beta_1, adam.beta_2) == (pytest.approx(0.01), 0.3, 0.8)


def test_an_image_is_the_same_whatever_it_is_drawn_with(config, images):
    gan = GAN(config, images.shape)
    latents = np.random.default_rng(0).standard_normal((70, 8))
    together = draw(gan.ema_generator, latents)
    assert together.shape == (70, 28, 28, 1) and together.dtype == np.uint8
    np.testing.assert_array_equal(draw(gan.ema_generator, latents[:3]), together[:3])
    np.testing.assert_array_equal(draw(gan.ema_generator, latents[65:]), together[65:])
