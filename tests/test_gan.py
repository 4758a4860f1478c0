"""The train step, switch by switch, and `fit` as Keras users expect it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from gan_tf import gan as gan_module
from gan_tf.gan import GAN, sample, to_uint8, to_unit_range
from gan_tf.losses import LOSSES, generator_minimax
from gan_tf.models import make_discriminator, make_generator
from tests.conftest import mostly_slow

SHAPE = (28, 28, 1)


@pytest.fixture
def squares():
    """A white square on black, a little different each time, uint8 (24, 28, 28, 1): anything that learns gets close."""
    pixels = np.zeros((24, *SHAPE), np.uint8)
    pixels[:, 8:20, 8:20] = np.random.default_rng(0).integers(200, 256, (24, 12, 12, 1))
    return pixels


def make_gan(learning_rate=2e-3, beta_1=0.0, spectral_norm=False, minibatch_std=False, shape=SHAPE, **options):
    seed, classes = options.get("seed", 3), options.get("classes", 0)
    generator = make_generator(shape, latent_dim=8, width=16, classes=classes, seed=seed)
    discriminator = make_discriminator(shape, 16, minibatch_std, spectral_norm, classes=classes, seed=seed)
    gan = GAN(generator, discriminator, **{"seed": seed, **options})
    gan.compile(*(keras.optimizers.Adam(learning_rate, beta_1=beta_1, beta_2=0.99) for _ in range(2)))
    return gan


def weights(model):
    return [variable.numpy().copy() for variable in model.variables]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def inputs(gan, count=4, update=0):
    """What the generator of an update is given. Of the reals, only their number counts."""
    asked = labels(gan, count)
    return gan.generator_inputs(asked, asked, gan.step_seed(update))


def draw(gan, count=4):
    """Fakes, and the tape that they were made under."""
    with tf.GradientTape() as drawing:
        fakes = gan.generator(inputs(gan, count), training=True)
    return fakes, drawing


def generator_step(gan, reals):
    """The generator's step on new fakes."""
    fakes, drawing = draw(gan)
    return gan.generator_step(reals, fakes, labels(gan), drawing, gan.step_seed(0))


def labels(gan, count=4):
    """One-hot labels of a batch."""
    return tf.one_hot(np.arange(count) % max(1, gan.classes), gan.classes)


def batches(pixels, size=4):
    return [pixels[i : i + size] for i in range(0, len(pixels), size)]


def test_pixels_go_to_the_unit_range_and_back():
    pixels = np.arange(256, dtype=np.uint8)
    there = to_unit_range(pixels)
    assert (float(there[0]), float(there[255])) == (-1, 1)
    np.testing.assert_array_equal(to_uint8(there), pixels)


SWITCHES = [
    *({"loss": loss} for loss in LOSSES),
    {"spectral_norm": True},
    {"spectral_norm": True, "loss": "hinge", "r1": 1.0},
    {"minibatch_std": True},
    {"r1": 1.0, "r2": 1.0, "gradient_penalty": 10.0, "penalty_every": 1},
    {"augment": ("color", "translation", "cutout"), "flip": True},
    {"label_smoothing": 0.1},
    {"ema": 0.0, "d_steps": 2},
    {"classes": 3},
    {"classes": 3, "r1": 1.0, "minibatch_std": True, "loss": "relativistic"},
]


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_each_players_step_leaves_the_other_bit_identical(switches, squares):
    gan = make_gan(**switches)
    reals = to_unit_range(squares[:4])
    fakes, drawing = draw(gan)
    generator, discriminator = weights(gan.generator), weights(gan.discriminator)
    gan.discriminator_step(reals, fakes, labels(gan), gan.step_seed(0))
    assert same(weights(gan.generator), generator) and not same(weights(gan.discriminator), discriminator)
    discriminator = weights(gan.discriminator)
    gan.generator_step(reals, fakes, labels(gan), drawing, gan.step_seed(0))
    assert not same(weights(gan.generator), generator) and same(weights(gan.discriminator), discriminator)


def test_the_generators_gradient_is_that_of_one_tape_over_both_networks(squares):
    """The chain rule in two parts gives what a single tape gives."""
    gan = make_gan()
    gan.compile(keras.optimizers.SGD(1.0), keras.optimizers.SGD(1.0))
    before = weights(gan.generator)
    with tf.GradientTape() as tape:
        loss = gan.loss_fns.generator(gan.discriminator(gan.generator(inputs(gan), training=True)))
    gradients = tape.gradient(loss, gan.generator.trainable_variables)
    for variable, value in zip(gan.generator.variables, before, strict=True):
        variable.assign(value)
    expected = [w.numpy() - g.numpy() for w, g in zip(gan.generator.trainable_variables, gradients, strict=True)]
    fakes, drawing = draw(gan)
    step = gan.generator_step(to_unit_range(squares[:4]), fakes, labels(gan), drawing, gan.step_seed(0))
    for variable, value in zip(gan.generator.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-6)
    assert float(step["gradient"]) == pytest.approx(float(tf.linalg.global_norm(gradients)), rel=1e-5)


def test_each_loss_falls_while_the_other_player_stands_still(squares):
    gan = make_gan()
    reals = to_unit_range(squares[:4])
    fakes, _ = draw(gan)
    d_losses = [float(gan.discriminator_step(reals, fakes, labels(gan), gan.step_seed(0))["loss"]) for _ in range(20)]
    assert d_losses[-1] < 0.5 * d_losses[0]
    g_losses = [float(generator_step(gan, reals)["loss"]) for _ in range(20)]
    assert g_losses[-1] < 0.5 * g_losses[0]


@pytest.mark.parametrize("loss", mostly_slow(LOSSES, "non-saturating"))
def test_with_every_loss_the_images_move_toward_the_data(loss, squares):
    gan = make_gan(learning_rate=5e-3, loss=loss, ema=0.9)
    latents = np.random.default_rng(0).standard_normal((16, 8))
    mean = squares.mean(axis=0)

    def distance():
        return np.abs(sample(gan.ema_generator, latents) - mean).mean()

    before = distance()
    gan.fit(np.tile(squares, (10, 1, 1, 1)), epochs=8, batch_size=8, verbose=0)
    assert distance() < 0.5 * before


def test_fit_takes_arrays_datasets_and_floats_and_sees_the_same(squares):
    floats = squares / np.float32(127.5) - 1
    dataset = tf.data.Dataset.from_tensor_slices(squares).batch(4)
    labelled = tf.data.Dataset.from_tensor_slices((squares, np.arange(24))).batch(4)
    found = []
    for images in (squares, floats, dataset, labelled):
        gan = make_gan()
        gan.compile(keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.01))  # Adam would amplify rounding.
        gan.fit(images, batch_size=None if isinstance(images, tf.data.Dataset) else 4, shuffle=False, verbose=0)
        found.append(weights(gan.generator))
    for others in found[1:]:
        for a, b in zip(found[0], others, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_an_incomplete_last_batch_is_trained_on(squares):
    gan = make_gan(d_steps=2)
    gan.fit(squares[:11], batch_size=4, epochs=2, verbose=0)
    assert int(gan.step) == 6 and int(gan.d_optimizer.iterations) == 12
    assert np.isfinite(weights(gan.generator)[0]).all()


def test_one_trace_over_many_batches_and_epochs(squares, monkeypatch):
    traced = []
    step = GAN.train_step
    monkeypatch.setattr(GAN, "train_step", lambda self, data: traced.append(1) or step(self, data))
    gan = make_gan()
    gan.fit(
        tf.data.Dataset.from_tensor_slices(squares).batch(4, drop_remainder=True), epochs=3, shuffle=False, verbose=0
    )
    assert (len(traced), int(gan.step)) == (1, 18)


class MeanDifference(keras.metrics.Mean):
    """What a metric of two batches looks like: the difference of their mean pixels."""

    def update_state(self, reals, fakes):
        super().update_state(tf.reduce_mean(reals) - tf.reduce_mean(fakes))


def test_validation_measures_held_out_images_against_the_averaged_generators_fakes(squares):
    gan = make_gan()
    gan.compile(keras.optimizers.Adam(1e-9), keras.optimizers.Adam(1e-9), metrics=[MeanDifference(name="difference")])
    before, state = weights(gan.ema_generator), weights(gan.discriminator)
    history = gan.fit(squares[:8], validation_data=squares[8:], batch_size=4, epochs=2, verbose=0).history
    assert {"val_D(x)", "val_difference", "d_loss"} <= set(history)
    real, fake = to_unit_range(squares[8:]).numpy(), gan.ema_generator(tf.random.normal((64, 8))).numpy()
    np.testing.assert_allclose(history["val_difference"], real.mean() - fake.mean(), atol=0.02)
    expected = tf.reduce_mean(tf.sigmoid(gan.discriminator(real)))
    np.testing.assert_allclose(history["val_D(x)"], expected, atol=1e-4)
    # Validating alone changes no weight.
    trained = weights(gan.generator), weights(gan.discriminator), weights(gan.ema_generator), int(gan.step)
    gan.evaluate(squares[8:], verbose=0)
    now = weights(gan.generator), weights(gan.discriminator), weights(gan.ema_generator), int(gan.step)
    assert all(same(a, b) for a, b in zip(trained[:3], now[:3], strict=True)) and trained[3] == now[3] == 4
    assert not same(before, trained[2]) and not same(state, trained[1])


def test_two_models_of_ones_own_with_dropout_and_batch_normalisation(squares):
    generator = keras.Sequential([keras.Input((5,)), layers.Dense(784, activation="tanh"), layers.Reshape(SHAPE)])
    discriminator = keras.Sequential(
        [keras.Input(SHAPE), layers.Flatten(), layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.2)]
    )
    discriminator.add(layers.Dense(1))
    gan = GAN(generator, discriminator)
    gan.compile(keras.optimizers.Adam(), keras.optimizers.SGD())
    gan.fit(squares, epochs=2, verbose=0)
    assert gan.predict(np.zeros((3, 5), np.float32), verbose=0).shape == (3, *SHAPE)
    reals, fakes = to_unit_range(squares[:4]), draw(gan)[0]
    real_logits, _ = gan.logits(tf.ones_like(reals), fakes, labels(gan, len(reals)))
    assert np.ptp(real_logits.numpy()) < np.ptp(gan.discriminator(tf.concat([reals, fakes], 0)).numpy()) + 10
    assert gan_module.mixes_batch(discriminator)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"loss": "bce"}, "loss is 'bce', but it must be one of non-saturating, minimax"),
        ({"label_smoothing": 0.1, "loss": "hinge"}, "the loss hinge has no labels"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(options, message):
    with pytest.raises(ValueError, match=message):
        make_gan(**options)
    with pytest.raises(ValueError, match=r"makes images of \(32, 32, 1\), but the discriminator takes \(28, 28, 1\)"):
        GAN(make_generator((32, 32, 1)), make_discriminator())


@pytest.mark.slow
def test_the_step_compiles_under_xla_and_agrees(squares, monkeypatch):
    # XLA has other normal numbers for the same seed.
    monkeypatch.setattr(GAN, "generator_inputs", lambda self, *_: tf.reshape(tf.linspace(-2.0, 2.0, 32), (4, 8)))
    compiled, plain = make_gan(r1=1.0, spectral_norm=True), make_gan(r1=1.0, spectral_norm=True)
    ours = tf.function(compiled.train_step, jit_compile=True)(squares[:4])
    theirs = plain.train_step(tf.constant(squares[:4]))
    for name in theirs:
        assert float(ours[name]) == pytest.approx(float(theirs[name]), abs=1e-4), name


def test_the_average_after_k_steps(squares):
    gan = make_gan(ema=0.75)
    expected = weights(gan.generator)
    for batch in batches(squares)[:3]:
        gan.train_step(tf.constant(batch))
        expected = [0.75 * e + 0.25 * w for e, w in zip(expected, weights(gan.generator), strict=True)]
    for average, value in zip(weights(gan.ema_generator), expected, strict=True):
        np.testing.assert_allclose(average, value, rtol=1e-5, atol=1e-6)


def test_no_average_is_the_generator_itself(squares):
    gan = make_gan(ema=0.0)
    gan.fit(squares, batch_size=4, verbose=0)
    for average, weight in zip(weights(gan.ema_generator), weights(gan.generator), strict=True):
        np.testing.assert_allclose(average, weight, rtol=1e-5, atol=1e-6)


def test_the_same_seed_gives_the_same_run_to_the_bit_and_another_seed_another(squares):
    runs = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(len(runs))  # Which must not matter.
        gan = make_gan(seed=seed)
        gan.fit(squares, batch_size=4, shuffle=False, verbose=0)
        runs.append(weights(gan.generator) + weights(gan.discriminator) + weights(gan.ema_generator))
    assert same(runs[0], runs[1])
    assert not any(np.array_equal(a, b) for a, b in zip(runs[0], runs[2], strict=True) if a.size > 100)


def test_nothing_here_touches_the_global_random_state(squares):
    def draw_after(work):
        keras.utils.set_random_seed(7)
        keras.utils.clear_session()  # In Keras 3.6, the line above leaves the state of keras.random as it is.
        work()
        return np.random.random(), float(tf.random.normal(())), float(keras.random.normal(()))

    def work():
        gan = make_gan(augment=("translation",), flip=True, spectral_norm=True)
        gan.train_step(tf.constant(squares[:4]))

    assert draw_after(work) == draw_after(lambda: None)


def test_d_steps_are_that_many_updates_each_on_new_reals_and_new_fakes(squares, monkeypatch):
    seen = []
    update = GAN.discriminator_step
    monkeypatch.setattr(
        GAN,
        "discriminator_step",
        lambda self, reals, fakes, *rest: seen.append((reals, fakes)) or update(self, reals, fakes, *rest),
    )
    gan = make_gan(d_steps=3)
    gan.train_step(tf.constant(squares[:12]))
    assert len(seen) == 3 and int(gan.d_optimizer.iterations) == 3 and int(gan.g_optimizer.iterations) == 1
    for players in zip(*seen, strict=True):
        a, b, c = (player.numpy() for player in players)
        assert a.shape == (4, *SHAPE)
        assert not np.array_equal(a, b) and not np.array_equal(b, c) and not np.array_equal(a, c)


def test_the_logs_are_what_their_names_say(squares):
    """Every figure of a step against the same computed one by one."""
    gan, again = make_gan(), make_gan()
    batch = tf.constant(squares[:4])
    reals, (fakes, _) = to_unit_range(batch), draw(again)
    real_logits, fake_logits = again.discriminator(reals), again.discriminator(fakes)
    logs = gan.train_step(batch)
    assert list(logs) == ["d_loss", "g_loss", "D(x)", "D(G(z))_before", "D(G(z))_after"]
    found = {name: float(tracker.result()) for name, tracker in gan.trackers.items()}
    assert {name: float(value) for name, value in logs.items()}.items() <= found.items()
    after = gan.discriminator(fakes)
    for name, logits in {"D(x)": real_logits, "D(G(z))_before": fake_logits, "D(G(z))_after": after}.items():
        assert found[name] == pytest.approx(float(tf.reduce_mean(tf.sigmoid(logits))), abs=1e-5)
    assert found["accuracy_real"] == np.mean(real_logits.numpy() > 0)
    assert found["accuracy_fake"] == np.mean(fake_logits.numpy() < 0)
    with tf.GradientTape() as tape:
        loss = again.loss_fns.discriminator(again.discriminator(reals), again.discriminator(fakes))
    norm = tf.linalg.global_norm(tape.gradient(loss, again.discriminator.trainable_variables))
    assert (found["d_loss"], found["d_gradient"]) == (pytest.approx(float(loss)), pytest.approx(float(norm), rel=1e-4))

    def apart(pictures):
        flat = pictures.numpy().reshape(4, -1)
        return np.mean([np.linalg.norm(flat[i] - flat[i - 1]) for i in range(4)])

    assert found["spread"] == pytest.approx(apart(fakes) / apart(reals), rel=1e-4)


def test_a_critics_threshold_lies_between_reals_and_fakes(squares):
    gan = make_gan(loss="wasserstein")
    gan.discriminator.layers[-1].bias.assign([1e3])  # A critic's bias means nothing.
    gan.train_step(tf.constant(squares[:4]))
    found = {name: float(tracker.result()) for name, tracker in gan.trackers.items()}
    assert found["D(x)"] + found["D(G(z))_before"] == pytest.approx(1, abs=0.05)
    assert 0 < found["accuracy_real"] + found["accuracy_fake"] <= 2


def test_minimax_and_label_smoothing_are_used_when_asked_for(squares):
    batch = tf.constant(squares[:4])
    minimax = make_gan(loss="minimax")
    assert float(minimax.train_step(batch)["g_loss"]) < 0
    assert minimax.loss_fns.generator is generator_minimax
    plain, smoothed = make_gan().train_step(batch), make_gan(label_smoothing=0.5).train_step(batch)
    assert float(plain["d_loss"]) != float(smoothed["d_loss"])


def test_latents_are_new_normal_numbers_at_every_step_and_update_and_again_the_same():
    gan = make_gan(d_steps=2)
    drawn = []
    for step in range(3):
        gan.step.assign(step)
        drawn += [inputs(gan, 500, update).numpy() for update in range(2)]
    for i, a in enumerate(drawn):
        assert a.shape == (500, 8) and abs(a.mean()) < 0.06 and abs(a.std() - 1) < 0.06
        assert all(abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.06 for b in drawn[:i])
    np.testing.assert_array_equal(inputs(gan, 500, 1), drawn[-1])


def test_an_image_is_the_same_whatever_it_is_drawn_with():
    gan = make_gan()
    latents = np.random.default_rng(0).standard_normal((70, 8))
    together = sample(gan.ema_generator, latents)
    assert together.shape == (70, *SHAPE) and together.dtype == np.uint8
    np.testing.assert_array_equal(sample(gan.ema_generator, latents[:3]), together[:3])
    np.testing.assert_array_equal(sample(gan.ema_generator, latents[65:]), together[65:])


def test_the_discriminator_sees_everything_augmented_and_each_use_has_its_own_randomness(squares, monkeypatch):
    seen = []

    def augment(pictures, kinds, seed):
        seen.append((len(pictures), kinds, tuple(seed.numpy())))
        return pictures

    monkeypatch.setattr(gan_module, "augment", augment)
    gan = make_gan(augment=("color",), d_steps=2)
    for batch in batches(squares, 8)[:2]:
        gan.train_step(tf.constant(batch))
    # Twice reals and fakes together for the discriminator, and then the fakes for the generator.
    assert [count for count, _, _ in seen] == [8, 8, 4] * 2
    assert {kinds for _, kinds, _ in seen} == {("color",)}
    assert len({seed for _, _, seed in seen}) == 6


def test_only_reals_are_mirrored_and_only_if_asked_for(squares, monkeypatch):
    mirrored = []
    monkeypatch.setattr(gan_module, "flip", lambda pictures, seed: mirrored.append(pictures) or pictures)
    batch = tf.constant(squares[:4])
    make_gan().train_step(batch)
    assert not mirrored
    make_gan(flip=True).train_step(batch)
    np.testing.assert_array_equal(to_unit_range(batch), mirrored[0])
    assert len(mirrored) == 1


def test_r1_is_lazy_and_weighted_and_the_gradient_penalty_is_neither(squares):
    def after(steps, **options):
        gan = make_gan(**options)
        for batch in batches(squares)[:steps]:
            gan.train_step(tf.constant(batch))
        return weights(gan.discriminator)

    assert same(after(1, r1=2.0, penalty_every=3), after(1, r1=6.0, penalty_every=1))
    assert not same(after(1, r1=2.0, penalty_every=3), after(1))
    reals, fakes = tf.split(to_unit_range(squares[:8]), 2)

    def penalties(**options):
        gan, found = make_gan(penalty_every=3, **options), []
        for step in range(7):
            gan.step.assign(step)
            found.append(float(gan.penalties(reals, fakes, labels(gan, len(reals)), gan.step_seed(0))))
        return found, gan

    lazy, gan = penalties(r1=2.0)
    assert [penalty > 0 for penalty in lazy] == [True, False, False] * 2 + [True]
    assert lazy[0] == pytest.approx(3 * float(gan_module.zero_centred_penalty(gan.discriminator, reals)))
    every, _ = penalties(gradient_penalty=10.0)
    assert all(penalty > 0 for penalty in every)
    # Seven random points between the same images: alike, and not three times as heavy at every third step.
    assert max(every) < 2 * min(every)


def test_r2_is_r1_at_fakes_and_penalties_add_up(squares):
    reals, fakes = tf.split(to_unit_range(squares[:8]), 2)

    def penalty(**options):
        gan = make_gan(penalty_every=1, **options)
        return float(gan.penalties(reals, fakes, labels(gan, len(reals)), gan.step_seed(0))), gan

    at_reals, gan = penalty(r1=2.0)
    at_fakes, _ = penalty(r2=2.0)
    assert at_fakes == pytest.approx(float(gan_module.zero_centred_penalty(gan.discriminator, fakes)))
    assert at_reals == pytest.approx(float(gan_module.zero_centred_penalty(gan.discriminator, reals)))
    between, _ = penalty(gradient_penalty=10.0)
    assert between > 0
    assert penalty(r1=2.0, r2=2.0, gradient_penalty=10.0)[0] == pytest.approx(at_reals + at_fakes + between, rel=1e-5)
    assert penalty()[0] == 0


def test_a_loss_brings_the_penalties_that_it_needs_unless_told_otherwise():
    def weights_of(**options):
        gan = make_gan(**options)
        return gan.r1, gan.r2, gan.gradient_penalty

    assert weights_of() == (0, 0, 0)
    assert weights_of(loss="wasserstein") == (0, 0, 10)
    assert weights_of(loss="relativistic") == (1, 1, 0)
    assert weights_of(loss="relativistic", r2=0.0) == (1, 0, 0)
    assert weights_of(loss="wasserstein", gradient_penalty=0.0, r1=0.5) == (0.5, 0, 0)


def test_a_paired_generator_sees_the_reals_that_its_fakes_are_paired_with(squares):
    reals = to_unit_range(squares[:4])
    for loss in ("relativistic", "hinge"):
        moved = []
        for shown in (reals, -reals):
            gan = make_gan(loss=loss)
            generator_step(gan, shown)
            moved.append(weights(gan.generator))
        assert same(*moved) == (loss == "hinge")


def test_with_minibatch_deviation_fakes_are_not_compared_with_reals():
    gan = make_gan(minibatch_std=True)
    reals, fakes = tf.ones((4, *SHAPE)), tf.random.stateless_uniform((4, *SHAPE), (1, 2), -1, 1)
    real_logits, fake_logits = gan.logits(reals, fakes, labels(gan, len(reals)))
    np.testing.assert_allclose(real_logits, gan.discriminator(reals), atol=1e-6)
    np.testing.assert_allclose(fake_logits, gan.discriminator(fakes), atol=1e-6)
    together = gan.discriminator(tf.concat([reals, fakes], 0))
    assert not np.allclose(real_logits, together[:4], atol=1e-6)


@pytest.mark.parametrize("size", mostly_slow([32, 128], 32))
def test_two_steps_with_everything_switched_on(size):
    pixels = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), np.uint8)
    augment = ("color", "translation", "cutout")
    options = {"r1": 1.0, "r2": 1.0, "minibatch_std": True, "spectral_norm": True, "augment": augment, "flip": True}
    gan = make_gan(shape=(size, size, 3), **options)
    before = weights(gan.generator)
    history = gan.fit(pixels, batch_size=4, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert not any(np.array_equal(a, b) for a, b in zip(before, weights(gan.generator), strict=True))


@pytest.fixture
def halves():
    """Two classes, uint8 (24, 28, 28, 1) and labels (24,): a bright square on the left (0) or on the right (1)."""
    pixels, labels = np.zeros((24, *SHAPE), np.uint8), np.arange(24) % 2
    shades = np.random.default_rng(0).integers(200, 256, (24, 12, 8, 1))
    for image, label, shade in zip(pixels, labels, shades, strict=True):
        left = 16 if label else 4
        image[8:20, left : left + 8] = shade
    return pixels, labels


CONDITIONAL = [
    *({"loss": loss} for loss in LOSSES),
    {"d_steps": 2, "augment": ("translation",)},
    {"r1": 1.0, "r2": 1.0, "spectral_norm": True},
]


@pytest.mark.parametrize("switches", mostly_slow(CONDITIONAL, CONDITIONAL[0]), ids=str)
def test_a_conditional_generator_draws_what_it_is_told(switches, halves):
    pixels, labels = (np.concatenate([part] * 10) for part in halves)
    gan = make_gan(learning_rate=5e-3, ema=0.9, classes=2, **switches)
    gan.fit(pixels, labels, epochs=5 * gan.d_steps, batch_size=8 * gan.d_steps, verbose=0)
    latents = np.random.default_rng(0).standard_normal((16, 8))
    for label, (bright, dark) in enumerate([(slice(4, 12), slice(16, 24)), (slice(16, 24), slice(4, 12))]):
        drawn = sample(gan.ema_generator, gan_module.with_labels(latents, np.full(16, label), 2))[:, 8:20]
        assert drawn[:, :, bright].mean() > 2 * drawn[:, :, dark].mean(), f"label {label}"


def test_each_fake_has_the_label_of_the_real_image_beside_it(halves, monkeypatch):
    gan, seen, told = make_gan(classes=3, d_steps=2), [], []
    update, generate = GAN.discriminator_step, gan.generator.call

    def watched(self, reals, fakes, labels, seed):
        seen.append(labels.numpy())
        return update(self, reals, fakes, labels, seed)

    monkeypatch.setattr(GAN, "discriminator_step", watched)
    monkeypatch.setattr(gan.generator, "call", lambda x, **options: told.append(x.numpy()) or generate(x, **options))
    gan.train_step((tf.constant(halves[0][:8]), tf.constant([0, 1, 2, 0, 2, 2, 1, 0])))
    np.testing.assert_array_equal(np.concatenate(seen).argmax(axis=1), [0, 1, 2, 0, 2, 2, 1, 0])
    np.testing.assert_array_equal(np.concatenate(told)[:, 8:], np.concatenate(seen))


def test_a_label_trains_its_own_output_of_the_discriminator_only(halves):
    gan = make_gan(classes=3)
    kernel = gan.discriminator.layers[-1].kernel
    before = kernel.numpy()
    gan.train_step((tf.constant(halves[0][:4]), tf.constant([1, 1, 1, 1])))
    moved = np.abs(kernel.numpy() - before).max(axis=0) > 0
    np.testing.assert_array_equal(moved, [False, True, False])


def test_labels_are_needed_where_there_are_classes_and_outputs_for_each(halves):
    pixels, labels = halves
    with pytest.raises(ValueError, match=r"learns from images and labels: fit\(images, labels\)"):
        make_gan(classes=2).fit(pixels, verbose=0)
    with pytest.raises(ValueError, match="has 1 outputs, but with classes=2 it needs 2: one logit per class"):
        GAN(make_generator(SHAPE, classes=2), make_discriminator(SHAPE), classes=2)
    gan = make_gan(classes=2)
    history = gan.fit(pixels, labels, validation_data=(pixels, labels), batch_size=8, verbose=0).history
    real = tf.sigmoid(tf.gather(gan.discriminator(to_unit_range(pixels)), labels, batch_dims=1))
    assert float(history["val_D(x)"][-1]) == pytest.approx(float(tf.reduce_mean(real)), rel=1e-4)


class Negative(GAN):
    """Learns the second channel of a pair of pictures from its first, which it is given instead of latents."""

    def generator_inputs(self, reals, labels, seed):
        return reals[..., :1]


@pytest.mark.slow
def test_a_subclass_can_condition_on_a_part_of_the_reals(halves):
    """The pairs are a picture and its negative. Generator and discriminator see both, one map of logits per pair."""
    first = to_unit_range(halves[0])
    pairs = np.concatenate([first, -first], axis=-1)
    picture = keras.Input((28, 28, 1))
    made = layers.Conv2D(1, 1, use_bias=False, kernel_initializer="zeros")(picture)
    generator = keras.Model(picture, layers.Concatenate()([picture, made]))
    patches = keras.Sequential(
        [keras.Input((28, 28, 2)), layers.Conv2D(8, 4, 4, activation="relu"), layers.Conv2D(1, 1)]
    )
    gan = Negative(generator, patches, ema=0.9)
    gan.compile(*(keras.optimizers.Adam(1e-2, beta_1=0.5) for _ in range(2)))
    gan.fit(pairs, validation_data=pairs, epochs=40, batch_size=8, verbose=0)
    assert gan.ema_generator.layers[1].kernel.numpy().item() < -0.3
    np.testing.assert_array_equal(gan.ema_generator(first)[..., :1], first)


def test_random_inputs_have_labels_as_often_as_asked():
    inputs = gan_module.random_inputs(4000, 8, [0.7, 0.1, 0.2], seed=5)
    assert inputs.shape == (4000, 11) and set(inputs[:, 8:].sum(axis=1)) == {1}
    np.testing.assert_allclose(inputs[:, 8:].mean(axis=0), [0.7, 0.1, 0.2], atol=0.03)
    # The latents are those of a generator without labels, and a smaller count gives the first of them.
    np.testing.assert_array_equal(inputs[:, :8], gan_module.random_inputs(4000, 8, seed=5))
    np.testing.assert_array_equal(gan_module.random_inputs(9, 8, [0.7, 0.1, 0.2], seed=5)[:, 8:], inputs[:9, 8:])
