import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf.models import (
    Spectral,
    make_discriminator,
    make_generator,
    minibatch_deviation,
    power_iteration,
    to_plain,
)

SQUARES = [(size, size) for size in (28, 32, 64, 96, 128, 256, 512)]
OBLONGS = [(64, 96), (40, 24), (8, 8), (72, 104), (28, 64), (8, 512)]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sides", SQUARES + OBLONGS)
def test_shapes_ranges_and_types_at_every_size(sides, channels, precision):
    latents = np.random.default_rng(0).standard_normal((4, 10)).astype(np.float32)
    shape = (*sides, channels)
    generator = make_generator(shape, latent_dim=10, width=16, precision=precision, seed=0)
    fakes = generator(latents * 5e4)
    assert fakes.shape == (4, *shape) and fakes.dtype == np.float32
    assert -1 <= fakes.numpy().min() < -0.2 and 0.2 < fakes.numpy().max() <= 1
    discriminator = make_discriminator(shape, width=16, precision=precision)
    logits = discriminator(fakes)
    assert logits.shape == (4, 1) and logits.dtype == np.float32
    for model in (generator, discriminator):
        assert {weight.dtype for weight in model.weights} == {"float32"}
        assert model.layers[0].compute_dtype == precision


@pytest.mark.parametrize(
    "size, width, generator, discriminator",
    [
        (28, 64, [64, 32, 1], [16, 32, 64]),
        (64, 128, [128, 128, 64, 32, 3], [16, 32, 64, 128]),
        (512, 512, [512, 512, 512, 256, 128, 64, 32, 3], [16, 32, 64, 128, 256, 512, 512]),
    ],
)
def test_channels_halve_toward_the_image_and_are_capped(size, width, generator, discriminator):
    made = make_generator((size, size, generator[-1]), width=width)
    assert [made.layers[1].output.shape[-1]] + [
        layer.filters for layer in made.layers if isinstance(layer, keras.layers.Conv2DTranspose)
    ] == generator
    made = make_discriminator((size, size, 3), width=width)
    assert [layer.filters for layer in made.layers if isinstance(layer, keras.layers.Conv2D)] == discriminator


def test_minibatch_deviation_is_zero_for_a_batch_of_one_kind_and_the_mean_deviation_else():
    random = np.random.default_rng(0)
    features = random.standard_normal((6, 4, 4, 5)).astype(np.float32)
    out = minibatch_deviation((4, 4, 5))(features).numpy()
    np.testing.assert_array_equal(out[..., :5], features)
    np.testing.assert_allclose(out[..., 5], features.std(axis=0).mean(), rtol=1e-4)
    alike = minibatch_deviation((4, 4, 5))(np.repeat(features[:1], 6, axis=0)).numpy()
    np.testing.assert_allclose(alike[..., 5], 0, atol=1e-3)


def test_a_saved_discriminator_with_minibatch_deviation_opens_without_gan_tf(tmp_path):
    model = make_discriminator((32, 32, 3), width=16, minibatch_std=True)
    model.save(tmp_path / "discriminator.keras")
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    opened = keras.models.load_model(tmp_path / "discriminator.keras")
    np.testing.assert_allclose(opened(images), model(images), atol=1e-6)


def test_the_discriminator_gives_logits_of_both_signs_and_of_any_size():
    pixels = np.random.default_rng(0).uniform(-1, 1, (64, 28, 28, 1)).astype(np.float32)
    logits = make_discriminator()(pixels * 1000).numpy()
    assert abs(logits).max() > 1


def test_an_images_logit_does_not_depend_on_its_batch():
    pixels = np.random.default_rng(0).uniform(-1, 1, (8, 28, 28, 1)).astype(np.float32)
    model = make_discriminator()
    np.testing.assert_allclose(model(pixels, training=True)[:1], model(pixels[:1], training=True), atol=1e-6)


def test_sequential_and_of_built_in_layers_only():
    for model in (make_generator(), make_discriminator(minibatch_std=True)):
        assert isinstance(model, keras.Sequential)
        assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)


def levels(model):
    """(height, width) where the model starts and after each doubling or halving."""
    moving = keras.layers.Reshape, keras.layers.Conv2DTranspose, keras.layers.Cropping2D, keras.layers.Conv2D
    found = [tuple(layer.output.shape[1:3]) for layer in model.layers if isinstance(layer, moving)]
    cut = [isinstance(layer, keras.layers.Cropping2D) for layer in model.layers if isinstance(layer, moving)]
    return [sides for sides, cut_next in zip(found, [*cut[1:], False], strict=True) if not cut_next]


@pytest.mark.parametrize(
    "sides, generator",
    [
        ((28, 28), [(7, 7), (14, 14), (28, 28)]),
        ((64, 64), [(4, 4), (8, 8), (16, 16), (32, 32), (64, 64)]),
        ((96, 96), [(6, 6), (12, 12), (24, 24), (48, 48), (96, 96)]),
        ((64, 96), [(4, 6), (8, 12), (16, 24), (32, 48), (64, 96)]),
        ((40, 24), [(5, 3), (10, 6), (20, 12), (40, 24)]),
        ((72, 104), [(5, 7), (9, 13), (18, 26), (36, 52), (72, 104)]),
        ((512, 8), [(4, 1), (8, 1), (16, 1), (32, 1), (64, 1), (128, 2), (256, 4), (512, 8)]),
    ],
)
def test_the_longer_side_decides_how_often_both_players_double_and_halve(sides, generator):
    made = make_generator((*sides, 3), latent_dim=4, width=16)
    assert levels(made) == generator
    odd = any(side % 2 for level in generator[1:-1] for side in level)
    assert odd == any(isinstance(layer, keras.layers.Cropping2D) for layer in made.layers)
    halved = levels(make_discriminator((*sides, 3), width=16))
    known = generator[-2::-1]
    assert halved[: len(known)] == known and 3 <= max(halved[-1]) <= 4 < max(halved[-2])


@pytest.mark.parametrize("make", [make_generator, make_discriminator])
@pytest.mark.parametrize("shape, name", [((30, 30, 1), "30x30"), ((64, 100, 1), "100x64"), ((520, 64, 1), "64x520")])
def test_another_size_is_named_with_those_that_there_are(make, shape, name):
    with pytest.raises(ValueError, match=f"images of {name} pixels; both sides must be 28 or a multiple of 8 up to"):
        make(shape)


@pytest.mark.parametrize("doubling", [2, 3])
def test_no_weights_can_draw_a_grid_of_two_pixels(doubling):
    generator = make_generator((64, 64, 3), latent_dim=8, width=16)
    places = [i for i, layer in enumerate(generator.layers) if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert len(places) == 4
    transposed, mean = generator.layers[places[doubling] : places[doubling] + 2]
    # Rows of odd and of even number have kernels of their own: here these are opposites, which is nothing but grid.
    sign = np.array([1, -1, 1, -1], np.float32).reshape(4, 1, 1, 1)
    transposed.kernel.assign(0.1 * sign * np.ones(transposed.kernel.shape))
    latents = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    before, after = keras.Model(generator.inputs[0], [transposed.output, mean.output])(latents)

    def grid(pixels):
        rows = pixels.numpy()[:, 2:-2]  # The mean of four is one of two at an edge.
        return np.abs((rows * (-1) ** np.arange(rows.shape[1])[:, None, None]).mean(axis=1)).max()

    assert grid(before) > 0 and grid(after) < 0.1 * grid(before)


def spectral_layers(model):
    return [layer for layer in model.layers if isinstance(layer, Spectral)]


def largest_singular_value(kernel):
    return np.linalg.norm(np.reshape(kernel, (-1, kernel.shape[-1])), 2)


def test_spectral_normalisation_divides_each_kernel_by_its_largest_singular_value():
    model = make_discriminator((32, 32, 3), width=16, spectral_norm=True, seed=0)
    for layer in spectral_layers(model):
        layer.kernel.assign(50 * layer.kernel)
    for _ in range(30):
        power_iteration(model)
    assert len(spectral_layers(model)) == 4
    for layer in spectral_layers(model):
        assert largest_singular_value(layer.normalised_kernel()) == pytest.approx(1, rel=0.02)
        # Keras's wrapper writes the divided kernel back; the weight itself must stay as it is.
        assert largest_singular_value(layer.kernel) > 10


def test_one_power_iteration_per_update_keeps_up_with_a_moving_kernel():
    model = make_discriminator((32, 32, 3), width=16, spectral_norm=True, seed=0)
    layer, random = spectral_layers(model)[1], np.random.default_rng(0)
    for _ in range(100):
        layer.kernel.assign_add(0.002 * random.standard_normal(layer.kernel.shape))
        power_iteration(model)
    assert largest_singular_value(layer.normalised_kernel()) == pytest.approx(1, rel=0.05)


def test_the_gradient_passes_through_the_spectral_norm():
    """To scale a kernel changes nothing, so its gradient has no part along the kernel itself; and it agrees with a
    finite difference of W / sigma(W) with the exact sigma."""
    model = make_discriminator((28, 28, 1), width=16, spectral_norm=True, seed=0)
    for _ in range(200):
        power_iteration(model)
    layer = spectral_layers(model)[1]
    images = np.random.default_rng(0).uniform(-1, 1, (4, 28, 28, 1)).astype(np.float32)
    with tf.GradientTape() as tape:
        logits = tf.reduce_sum(model(images))
    gradient, kernel = tape.gradient(logits, layer.trainable_variables[0]).numpy(), layer.kernel.numpy()
    assert abs(np.sum(gradient * kernel)) < 1e-3 * np.linalg.norm(gradient) * np.linalg.norm(kernel)
    step = 0.05 * gradient / np.linalg.norm(gradient)
    values = []
    for sign in (1, -1):
        layer.kernel.assign(kernel + sign * step)
        for _ in range(50):
            power_iteration(model)
        values.append(float(tf.reduce_sum(model(images))))
    assert (values[0] - values[1]) / 0.1 == pytest.approx(np.linalg.norm(gradient), rel=0.03)


def test_calling_a_spectrally_normalised_network_changes_none_of_its_weights():
    model = make_discriminator(spectral_norm=True, seed=0)
    before = [weight.numpy() for weight in model.weights]
    model(np.ones((2, 28, 28, 1), np.float32), training=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.weights, strict=True))


@pytest.mark.parametrize("minibatch_std", [False, True])
def test_a_saved_spectrally_normalised_discriminator_opens_without_gan_tf(minibatch_std, tmp_path):
    model = make_discriminator((32, 32, 3), width=16, spectral_norm=True, minibatch_std=minibatch_std, seed=0)
    for _ in range(3):
        power_iteration(model)
    to_plain(model).save(tmp_path / "discriminator.keras")
    images = np.random.default_rng(0).uniform(-1, 1, (4, 32, 32, 3)).astype(np.float32)
    opened = keras.models.load_model(tmp_path / "discriminator.keras")
    assert all(type(layer).__module__.startswith("keras.") for layer in opened.layers)
    np.testing.assert_allclose(opened(images), model(images), atol=1e-5)
    plain = make_discriminator()
    assert to_plain(plain) is plain


def test_the_same_seed_gives_the_same_weights_and_players_and_layers_differ():
    a, b, other = (make_generator(seed=seed) for seed in (0, 0, 1))
    discriminator = make_discriminator(seed=0)
    for x, y, z in zip(a.weights, b.weights, other.weights, strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.path.endswith(("gamma", "beta", "mean", "variance", "bias")) or not np.array_equal(x, z)
    firsts = [
        w.numpy().ravel()[:8] / np.abs(w).max() for m in (a, discriminator) for w in m.weights if "kernel" in w.path
    ]
    assert len({tuple(first.round(3)) for first in firsts}) == len(firsts)
