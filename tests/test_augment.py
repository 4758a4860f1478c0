import numpy as np
import pytest
import tensorflow as tf

from gan_tf.augment import AUGMENTATIONS, augment, background, color, cutout, flip, translation

SEED = tf.constant([1, 2], tf.int64)


@pytest.fixture
def images():
    """16 pictures of one colour each, with a smaller square of noise in the middle."""
    random = np.random.default_rng(0)
    images = np.tile(random.uniform(-1, 1, (16, 1, 1, 3)), (1, 32, 32, 1))
    images[:, 12:20, 12:20] = random.uniform(-1, 1, (16, 8, 8, 3))
    return tf.constant(images.astype(np.float32))


@pytest.mark.parametrize("function", [flip, *AUGMENTATIONS.values()])
def test_each_image_is_changed_in_its_own_way_that_the_seed_alone_decides(function, images):
    alike = tf.tile(images[:1], (64, 1, 1, 1))
    once, again, other = (function(alike, seed).numpy() for seed in (SEED, SEED, SEED + 1))
    assert once.shape == alike.shape
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    assert len({image.tobytes() for image in once}) > (1 if function is flip else 20)  # Of 25 shifts.


@pytest.mark.parametrize("function", [flip, *AUGMENTATIONS.values()])
def test_a_gradient_goes_through_where_pixels_do(function, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(function(images, SEED) * 2.0)
    gradient = tape.gradient(total, images).numpy()
    assert np.isfinite(gradient).all() and abs(gradient).sum(axis=(1, 2, 3)).min() > 1


def test_flip_mirrors_about_half_of_the_images_and_leaves_the_rest(images):
    many = tf.tile(images, (32, 1, 1, 1))
    flipped, mirrored = flip(many, SEED).numpy(), many.numpy()[:, :, ::-1]
    turned = np.array([np.array_equal(a, b) for a, b in zip(flipped, mirrored, strict=True)])
    kept = np.array([np.array_equal(a, b) for a, b in zip(flipped, many.numpy(), strict=True)])
    assert (turned ^ kept).all() and 0.4 < turned.mean() < 0.6


def test_the_background_is_the_mean_of_the_outermost_pixels(images):
    np.testing.assert_allclose(background(images)[:, 0, 0], images[:, 0, 0], atol=1e-5)
    # The middle has no part in it.
    np.testing.assert_allclose(background(images[:, 10:22, 10:22])[:, 0, 0], images[:, 0, 0], atol=1e-5)


def test_translation_moves_by_even_numbers_of_pixels_over_the_images_own_background(images):
    moved, moves = translation(images, SEED).numpy(), set()
    for image, before in zip(moved, images.numpy(), strict=True):
        fits = [
            (y, x)
            for y in range(-4, 5)
            for x in range(-4, 5)
            if np.allclose(np.roll(before, (y, x), (0, 1)), image, atol=1e-5)
        ]
        assert len(fits) == 1  # The background comes in at the edges, or a roll would not be the same.
        moves.add(fits[0])
    assert len(moves) > 8 and {abs(y) for y, _ in moves} == {abs(x) for _, x in moves} == {0, 2, 4}
    far = translation(tf.tile(images[:1], (500, 1, 1, 1)), SEED).numpy()
    middles = [np.argwhere(abs(image - image[0, 0]).sum(axis=2) > 1e-4).mean(axis=0) - 15.5 for image in far]
    assert np.ptp(middles, axis=0) == pytest.approx([8, 8])


@pytest.mark.parametrize("side, step, farthest", [(28, 1, 3), (64, 4, 8), (96, 4, 12), (128, 8, 16), (512, 32, 64)])
def test_translation_keeps_grids_in_their_place(side, step, farthest):
    """A dot in the middle moves by multiples of a power of two, so a grid of that period stays where it was."""
    dot = np.zeros((200, side, side, 1), np.float32)
    dot[:, side // 2, side // 2] = 1
    y, x = (np.argwhere(translation(tf.constant(dot), SEED).numpy())[:, 1:3] - side // 2).T
    assert (y % step == 0).all() and (x % step == 0).all()
    assert y.min() == x.min() == -farthest and y.max() == x.max() == farthest


def test_oblong_images_move_and_lose_the_same_share_of_each_side():
    dot = np.zeros((400, 64, 32, 1), np.float32)
    dot[:, 32, 16] = 1
    y, x = (np.argwhere(translation(tf.constant(dot), SEED).numpy())[:, 1:3] - (32, 16)).T
    assert {*y.tolist()} == {-8, -4, 0, 4, 8} and {*x.tolist()} == {-4, -2, 0, 2, 4}
    noise = tf.random.stateless_uniform((400, 64, 32, 3), SEED, -1, 1)
    gone = np.isclose(cutout(noise, SEED), background(noise), atol=1e-6).all(axis=3)
    rows, columns = gone.any(axis=2).sum(axis=1), gone.any(axis=1).sum(axis=1)
    assert (max(rows), max(columns), min(rows), min(columns)) == (32, 16, 16, 8)
    tiny = translation(tf.constant(dot[:, 28:36, 12:20]), SEED).numpy()
    assert np.ptp(np.argwhere(tiny)[:, 1:3], axis=0).tolist() == [2, 2]


def test_cutout_fills_a_square_of_half_the_side_with_the_images_own_background(images):
    noise = tf.random.stateless_uniform((300, 32, 32, 3), SEED, -1, 1)
    cut, behind = cutout(noise, SEED).numpy(), background(noise).numpy()
    gone = np.isclose(cut, behind, atol=1e-6).all(axis=3)
    np.testing.assert_array_equal(cut[~gone], noise.numpy()[~gone])
    rows, columns = gone.any(axis=2).sum(axis=1), gone.any(axis=1).sum(axis=1)
    assert max(rows) == max(columns) == 16 and min(rows) == min(columns) == 8  # At the border only half is inside.
    np.testing.assert_array_equal(gone.sum(axis=(1, 2)), rows * columns)


def test_color_changes_brightness_saturation_and_contrast_as_far_as_the_paper_does(images):
    grey = tf.zeros((2000, 4, 4, 3))
    brightness = color(grey, SEED).numpy()[:, 0, 0, 0]
    assert (brightness.min(), brightness.max()) == pytest.approx((-0.5, 0.5), abs=0.01)
    red = tf.constant([[[[0.5, -0.25, -0.25]]]]) * tf.ones((2000, 4, 4, 1))
    hues = color(red, SEED).numpy()[:, 0, 0]
    saturation = (hues[:, 0] - hues[:, 1]) / 0.75
    assert saturation.min() < 0.05 and 2 < saturation.max() < 3  # Of at most 2, and contrast of at most 1.5.
    # Contrast is around the image's own mean, which brightness alone moves.
    checkers = tf.constant(np.indices((4, 4)).sum(axis=0) % 2 * 2.0 - 1.0, tf.float32)[None, :, :, None]
    changed = color(tf.tile(checkers, (2000, 1, 1, 1)), SEED).numpy()
    contrast = np.ptp(changed, axis=(1, 2, 3)) / 2
    assert (contrast.min(), contrast.max()) == pytest.approx((0.5, 1.5), abs=0.01)
    assert abs(changed.mean(axis=(1, 2, 3))).max() == pytest.approx(0.5, abs=0.01)


def test_color_leaves_the_opacity_and_treats_the_colours_as_without_it(images):
    opacity = tf.random.stateless_uniform((16, 32, 32, 1), SEED, -1, 1)
    changed = color(tf.concat([images, opacity], axis=3), SEED).numpy()
    np.testing.assert_array_equal(changed[..., 3:], opacity)
    np.testing.assert_array_equal(changed[..., :3], color(images, SEED))


def test_all_that_are_asked_for_are_applied_in_turn_each_with_a_seed_of_its_own(images):
    seeds = [tf.random.fold_in(SEED, number) for number in range(2)]
    expected = cutout(color(images, seeds[0]), seeds[1])
    np.testing.assert_array_equal(augment(images, ("color", "cutout"), SEED), expected)
    np.testing.assert_array_equal(augment(images, (), SEED), images)


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_a_variable_is_augmented_like_a_tensor(kind):
    pictures = tf.random.stateless_uniform((2, 16, 16, 3), seed=(1, 2))
    as_variable, as_tensor = (augment(given, (kind,), (0, 1)) for given in (tf.Variable(pictures), pictures))
    np.testing.assert_array_equal(as_variable, as_tensor)
