import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf import gan as gan_module
from gan_tf.config import preset_config
from gan_tf.data.images import ImageDataset, batches
from gan_tf.gan import GAN, sample, to_uint8, to_unit_range
from gan_tf.losses import LOSSES, generator_minimax


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
    gan.update_discriminator(reals, fakes, gan.seed_of(0))
    assert same(weights(gan.generator), generator) and not same(weights(gan.discriminator), discriminator)
    discriminator = weights(gan.discriminator)
    gan.update_generator(tape, reals, fakes, gan.seed_of(0))
    assert not same(weights(gan.generator), generator) and same(weights(gan.discriminator), discriminator)


def test_each_loss_falls_while_the_other_player_stands_still(config, images):
    gan = GAN(config, images.shape)
    reals, latents = to_unit_range(first_batch(images, config)), gan.latents(4, 0)
    fakes = gan.generator(latents, training=True)
    d_losses = [float(gan.update_discriminator(reals, fakes, gan.seed_of(0))[0]) for _ in range(20)]
    assert d_losses[-1] < 0.5 * d_losses[0]
    g_losses = []
    for _ in range(20):
        with tf.GradientTape() as tape:
            fakes = gan.generator(latents, training=True)
        g_losses.append(float(gan.update_generator(tape, reals, fakes, gan.seed_of(0))[0]))
    assert g_losses[-1] < 0.5 * g_losses[0]


def test_the_images_move_toward_the_data(config, images):
    config = dataclasses.replace(config, epochs=4, steps_per_epoch=60, batch_size=8, learning_rate=5e-3, ema=0.9)
    gan = GAN(config, images.shape)
    latents = np.random.default_rng(0).standard_normal((16, 8))
    mean = images.images.mean(axis=0)

    def distance():
        return np.abs(sample(gan.ema_generator, latents) - mean).mean()

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
        lambda self, reals, fakes, seed: seen.append((reals, fakes)) or update(self, reals, fakes, seed),
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
    together = sample(gan.ema_generator, latents)
    assert together.shape == (70, 28, 28, 1) and together.dtype == np.uint8
    np.testing.assert_array_equal(sample(gan.ema_generator, latents[:3]), together[:3])
    np.testing.assert_array_equal(sample(gan.ema_generator, latents[65:]), together[65:])


def test_the_discriminator_sees_everything_augmented_and_each_use_has_its_own_randomness(config, images, monkeypatch):
    seen = []

    def augment(pictures, kinds, seed):
        seen.append((len(pictures), kinds, tuple(seed.numpy())))
        return pictures

    monkeypatch.setattr(gan_module, "augment", augment)
    config = dataclasses.replace(config, augment=("color",), d_steps=2)
    gan = GAN(config, images.shape)
    for batch in batches(images, config).take(2):
        gan.train_step(batch)
    # Twice reals and fakes together for the discriminator, and then the fakes for the generator.
    assert [count for count, _, _ in seen] == [8, 8, 4] * 2
    assert {kinds for _, kinds, _ in seen} == {("color",)}
    assert len({seed for _, _, seed in seen}) == 6


def test_only_reals_are_mirrored_and_only_if_asked_for(config, images, monkeypatch):
    mirrored = []
    monkeypatch.setattr(gan_module, "flip", lambda pictures, seed: mirrored.append(pictures) or pictures)
    batch = first_batch(images, config)
    GAN(config, images.shape).train_step(batch)
    assert not mirrored
    GAN(dataclasses.replace(config, flip=True), images.shape).train_step(batch)
    np.testing.assert_array_equal(to_unit_range(batch), mirrored[0])
    assert len(mirrored) == 1


def test_r1_comes_at_every_kth_step_and_weighs_k_times_as_much(config, images):
    def after(steps, **fields):
        gan = GAN(dataclasses.replace(config, **fields), images.shape)
        for batch in batches(images, config).take(steps):
            gan.train_step(batch)
        return weights(gan.discriminator)

    assert same(after(1, r1=2.0, penalty_every=3), after(1, r1=6.0, penalty_every=1))
    assert not same(after(1, r1=2.0, penalty_every=3), after(1))
    gan = GAN(dataclasses.replace(config, r1=2.0, penalty_every=3), images.shape)
    reals = to_unit_range(first_batch(images, config))
    penalties = []
    for step in range(7):
        gan.step.assign(step)
        penalties.append(float(gan.penalties(reals, reals, gan.seed_of(0))))
    assert [penalty > 0 for penalty in penalties] == [True, False, False] * 2 + [True]
    assert penalties[0] == pytest.approx(3 * float(gan_module.zero_centred_penalty(gan.discriminator, reals)))


def test_r2_is_r1_at_fakes_and_penalties_add_up(config, images):
    reals, fakes = tf.split(to_unit_range(images.images[:8]), 2)

    def penalty(**fields):
        gan = GAN(dataclasses.replace(config, penalty_every=1, **fields), images.shape)
        return float(gan.penalties(reals, fakes, gan.seed_of(0))), gan

    at_reals, gan = penalty(r1=2.0)
    at_fakes, _ = penalty(r2=2.0)
    assert at_fakes == pytest.approx(float(gan_module.zero_centred_penalty(gan.discriminator, fakes)))
    assert at_reals == pytest.approx(float(gan_module.zero_centred_penalty(gan.discriminator, reals)))
    between, _ = penalty(gradient_penalty=10.0)
    assert between > 0
    assert penalty(r1=2.0, r2=2.0, gradient_penalty=10.0)[0] == pytest.approx(at_reals + at_fakes + between, rel=1e-5)
    assert penalty()[0] == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_with_every_loss_the_images_move_toward_the_data(loss, config, images):
    fields = {"epochs": 4, "steps_per_epoch": 60, "batch_size": 8, "learning_rate": 5e-3, "ema": 0.9}
    gan = GAN(preset_config("digits", loss=loss, latent_dim=8, **fields), images.shape)
    latents = np.random.default_rng(0).standard_normal((16, 8))
    mean = images.images.mean(axis=0)
    before = np.abs(sample(gan.ema_generator, latents) - mean).mean()
    gan.fit(images, verbose=0)
    assert np.abs(sample(gan.ema_generator, latents) - mean).mean() < 0.5 * before


def test_a_paired_generator_sees_the_reals_that_its_fakes_are_paired_with(config, images):
    reals = to_unit_range(first_batch(images, config))
    for loss in ("relativistic", "hinge"):
        moved = []
        for shown in (reals, -reals):
            gan = GAN(dataclasses.replace(config, loss=loss), images.shape)
            with tf.GradientTape() as tape:
                fakes = gan.generator(gan.latents(4, 0), training=True)
            gan.update_generator(tape, shown, fakes, gan.seed_of(0))
            moved.append(weights(gan.generator))
        assert same(*moved) == (loss == "hinge")


@pytest.mark.parametrize("decay", ["none", "linear", "cosine"])
def test_step_sizes_fall_as_asked_for_and_each_player_has_its_own(decay, config, images):
    config = dataclasses.replace(config, decay=decay, learning_rate=4e-3, d_learning_rate=1e-3, epochs=4)
    gan, seen = GAN(config, images.shape), []

    class Look(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append([float(adam.learning_rate) for adam in (gan.g_optimizer, gan.d_optimizer)])

        on_train_end = functools.partialmethod(on_epoch_begin, None)

    gan.fit(images, callbacks=[Look()], verbose=0)
    # The last steps before each epoch's begin, of 16: 3, 7, 11; and the last of all.
    done = np.array([0, 3, 7, 11, 15]) / 16
    left = {"none": 0 * done + 1, "linear": np.minimum(1, 2 - 2 * done), "cosine": (1 + np.cos(np.pi * done)) / 2}
    np.testing.assert_allclose(seen, np.outer(left[decay], [4e-3, 1e-3]), rtol=1e-5)


def test_a_resumed_run_goes_on_with_the_step_sizes_of_its_decay(config, images):
    config = dataclasses.replace(config, decay="linear", epochs=4)
    whole = GAN(config, images.shape)
    whole.fit(images, verbose=0)
    first, second = GAN(config, images.shape), GAN(config, images.shape)

    class Leave(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    first.fit(images, callbacks=[Leave()], verbose=0)

    def state(gan):
        parts = gan.generator, gan.discriminator, gan.ema_generator, gan.g_optimizer, gan.d_optimizer
        return [gan.step, *(variable for part in parts for variable in part.variables)]

    for old, new in zip(state(first), state(second), strict=True):
        new.assign(old)
    second.fit(images, verbose=0)
    assert same(weights(whole.generator), weights(second.generator))


def test_spectral_normalisation_bounds_how_steep_the_discriminator_is(config, images):
    gan = GAN(dataclasses.replace(config, spectral_norm=True), images.shape)
    for layer in gan.discriminator.layers:
        if hasattr(layer, "layer"):
            layer.layer.kernel.assign(50 * layer.layer.kernel)
    reals = to_unit_range(images.images[:8])
    for _ in range(30):  # Each call takes one more step toward the largest singular value.
        gan.discriminator(reals, training=True)
    for layer in gan.discriminator.layers:
        if hasattr(layer, "layer"):
            kernel = layer.layer.kernel.numpy()
            assert np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2) == pytest.approx(1, rel=0.05)


def test_what_is_counted_of_a_step_is_what_it_says(config, images):
    """Accuracies, gradients and spread against the same computed one by one."""
    config = dataclasses.replace(config, seed=5)
    gan, again = GAN(config, images.shape), GAN(config, images.shape)
    batch = first_batch(images, config)
    gan.train_step(batch)
    found = {name: float(mean.result()) for name, mean in gan.means.items()}
    reals = to_unit_range(batch)
    fakes = again.generator(again.latents(4, 0), training=True)
    real_logits, fake_logits = again.discriminator(reals), again.discriminator(fakes)
    assert found["accuracy_real"] == np.mean(real_logits.numpy() > 0)
    assert found["accuracy_fake"] == np.mean(fake_logits.numpy() < 0)
    with tf.GradientTape() as tape:
        loss = again.losses_of.discriminator(again.discriminator(reals), again.discriminator(fakes))
    lengths = [
        np.sum(gradient.numpy() ** 2) for gradient in tape.gradient(loss, again.discriminator.trainable_variables)
    ]
    assert found["d_gradient"] == pytest.approx(np.sqrt(np.sum(lengths)), rel=1e-4)

    def apart(pictures):
        flat = pictures.numpy().reshape(4, -1)
        return np.mean([np.linalg.norm(flat[i] - flat[i - 1]) for i in range(4)])

    assert found["spread"] == pytest.approx(apart(fakes) / apart(reals), rel=1e-4)


def test_a_critics_zero_lies_between_reals_and_fakes(config, images):
    gan = GAN(preset_config("digits", loss="wasserstein", latent_dim=8, batch_size=4, steps_per_epoch=4), images.shape)
    head = gan.discriminator.layers[-1]
    head.bias.assign([1e3])  # A critic's bias means nothing.
    gan.train_step(first_batch(images, gan.config))
    found = {name: float(mean.result()) for name, mean in gan.means.items()}
    assert found["D(x)"] + found["D(G(z))_before"] == pytest.approx(1, abs=0.05)
    assert 0 < found["accuracy_real"] + found["accuracy_fake"] <= 2


def test_with_minibatch_deviation_fakes_are_not_compared_with_reals(config, images):
    gan = GAN(dataclasses.replace(config, minibatch_std=True), images.shape)
    reals, fakes = tf.ones((4, 28, 28, 1)), tf.random.stateless_uniform((4, 28, 28, 1), (1, 2), -1, 1)
    real_logits, fake_logits = gan.logits(reals, fakes)
    np.testing.assert_allclose(real_logits, gan.discriminator(reals), atol=1e-6)
    np.testing.assert_allclose(fake_logits, gan.discriminator(fakes), atol=1e-6)
    together = gan.discriminator(tf.concat([reals, fakes], 0))
    assert not np.allclose(real_logits, together[:4], atol=1e-6)


@pytest.mark.parametrize("size", [64, 512])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_steps_with_everything_switched_on(size, precision):
    pixels = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    fields = {"minibatch_std": True, "precision": precision, "steps_per_epoch": 2, "batch_size": 4}
    config = preset_config("animal_faces", image_size=size, width=16, **fields)
    assert config.augment and config.flip and config.r1
    gan = GAN(config, pixels.shape[1:])
    before = weights(gan.generator)
    history = gan.fit(ImageDataset("noise", pixels, None, "tests"), epochs=1, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert sample(gan.ema_generator, np.zeros((2, config.latent_dim))).shape == (2, size, size, 3)
    assert not any(np.array_equal(a, b) for a, b in zip(before, weights(gan.generator), strict=True))
