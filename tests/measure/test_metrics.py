import math

import numpy as np
import prdc
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.stats
import sklearn.metrics

from gan_tf.measure.metrics import (
    copy_descriptors,
    copying_ratio,
    coverage,
    density,
    frechet_distance,
    kernel_distance,
    laplacian_pyramid,
    nearest,
    patches,
    precision,
    pyramid_distance,
    recall,
    sliced_wasserstein,
    thumbnails,
)


def test_frechet_distance_of_gaussians_that_one_knows():
    random = np.random.default_rng(0)
    a = random.standard_normal((200_000, 3))
    b = random.standard_normal((200_000, 3)) * [1, 2, 3] + [4, 0, 0]
    # |4|^2 + (1-1)^2 + (2-1)^2 + (3-1)^2
    assert frechet_distance(a, b) == pytest.approx(16 + 0 + 1 + 4, rel=0.01)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_against_the_matrix_root():
    random = np.random.default_rng(1)
    a = random.standard_normal((500, 8)) @ random.standard_normal((8, 8))
    b = random.standard_normal((300, 8)) @ random.standard_normal((8, 8)) + 1
    cov = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov[0] @ cov[1]).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov[0] + cov[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)


def test_coverage_counts_what_was_left_out():
    random = np.random.default_rng(2)
    left, right = random.standard_normal((300, 2)), random.standard_normal((100, 2)) + 50
    real = np.concatenate([left, right])
    assert coverage(real, real) == 1
    assert coverage(real, random.standard_normal((4000, 2))) == pytest.approx(0.75, abs=0.01)
    assert coverage(real, right[:1]) < 0.1


def test_coverage_by_hand():
    real = np.array([[0.0], [1.0], [3.0], [7.0]])  # Distances to the nearest other: 1, 1, 2, 4.
    assert coverage(real, np.array([[2.0], [20.0]]), k=1) == 0.25
    assert coverage(real, np.array([[3.5]]), k=1) == 0.5


@pytest.mark.parametrize("n, m", [(40, 40), (40, 25), (7, 300), (1, 5)])
def test_on_a_line_it_is_scipys_wasserstein_distance(n, m):
    random = np.random.default_rng(n)
    real, fake = random.standard_normal((n, 1)) * 3, random.gamma(2, size=(m, 1)) + 1
    expected = scipy.stats.wasserstein_distance(real[:, 0], fake[:, 0])
    assert sliced_wasserstein(real, fake, projections=3) == pytest.approx(expected, rel=1e-4)
    assert sliced_wasserstein(fake, real, projections=3) == pytest.approx(expected, rel=1e-4)


def test_in_a_plane_it_is_the_mean_of_scipys_over_all_directions():
    random = np.random.default_rng(0)
    real, fake = random.standard_normal((60, 2)) * [1, 5], random.normal([2, 1], size=(41, 2))
    angles = np.arange(0, np.pi, np.pi / 360)
    lines = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    expected = np.mean([scipy.stats.wasserstein_distance(real @ line, fake @ line) for line in lines])
    assert sliced_wasserstein(real, fake, projections=5000) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("d", [2, 10, 300])
def test_of_a_shift_a_random_direction_sees_the_mean_of_its_cosine(d):
    random = np.random.default_rng(d)
    real = random.standard_normal((50, d))
    shift = random.standard_normal(d)
    shift *= 9 / np.linalg.norm(shift)
    # E|u_1| of a random unit vector u, by gamma functions; a shift moves every value by its part along the line.
    cosine = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    found = sliced_wasserstein(real, random.permutation(real) + shift, projections=2000)
    assert found == pytest.approx(9 * cosine, rel=0.04)


def test_sliced_wasserstein_depends_on_the_set_and_the_seed_alone():
    random = np.random.default_rng(3)
    real, fake = random.standard_normal((50, 6)), random.standard_normal((70, 6)) * 2
    found = sliced_wasserstein(real, fake, projections=20)
    assert sliced_wasserstein(random.permutation(real), random.permutation(fake), projections=20) == found
    assert sliced_wasserstein(real, fake, projections=20, seed=1) != found
    assert sliced_wasserstein(real, random.permutation(real), projections=20) == pytest.approx(0, abs=1e-6)
    # Every image twice is the same distribution.
    assert sliced_wasserstein(real, np.repeat(fake, 2, axis=0), projections=20) == pytest.approx(found, rel=1e-5)


def test_sliced_wasserstein_takes_bytes_for_numbers():
    black, white = np.zeros((5, 4), np.uint8), np.full((8, 4), 255, np.uint8)
    assert sliced_wasserstein(black, white) == sliced_wasserstein(white, black) > 100


def test_a_thumbnail_is_the_mean_of_each_part():
    images = np.random.default_rng(0).integers(256, size=(3, 64, 64, 3), dtype=np.uint8)
    small = thumbnails(images)
    assert small.shape == (3, 16 * 16 * 3) and small.dtype == np.float32
    np.testing.assert_allclose(small[1].reshape(16, 16, 3)[2, 5], images[1, 8:12, 20:24].mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(thumbnails(images, 64), images.reshape(3, -1), rtol=1e-5)


def test_a_thumbnail_splits_pixels_where_it_must():
    images = np.array([0, 30, 90], np.uint8).reshape(1, 3, 1, 1) + np.zeros((1, 3, 5, 1), np.uint8)
    # Halves of three rows: (0 + 30 / 2) / 1.5 and (30 / 2 + 90) / 1.5.
    np.testing.assert_allclose(thumbnails(images, 2), [[10, 10, 70, 70]], rtol=1e-5)
    assert thumbnails(np.full((1, 28, 28, 1), 7, np.uint8)) == pytest.approx(7)


def test_patches_are_squares_of_the_image_from_everywhere():
    y, x = np.mgrid[:12, :20]
    images = np.stack([np.stack([y, x, y * 0 + i], axis=-1) for i in range(4)]).astype(np.uint8)
    found = patches(images, size=7, per_image=200)
    assert found.shape == (800, 7 * 7 * 3) and found.dtype == np.uint8
    squares = found.reshape(4, 200, 7, 7, 3).astype(int)
    corners = squares[:, :, :1, :1]
    np.testing.assert_array_equal((squares - corners)[..., 0], np.broadcast_to(np.arange(7)[:, None], (4, 200, 7, 7)))
    np.testing.assert_array_equal((squares - corners)[..., 1], np.broadcast_to(np.arange(7), (4, 200, 7, 7)))
    np.testing.assert_array_equal(squares[..., 2], np.arange(4)[:, None, None, None] + np.zeros((200, 7, 7), int))
    # From the first place to the last one.
    assert set(corners[..., 0].flat) == set(range(6)) and set(corners[..., 1].flat) == set(range(14))
    np.testing.assert_array_equal(found, patches(images, per_image=200))
    assert (found != patches(images, per_image=200, seed=1)).any()


def test_copies_have_no_distance_and_new_ones_the_usual():
    random = np.random.default_rng(4)
    train, new = random.standard_normal((2, 1500, 10))
    assert copying_ratio(train, new) == pytest.approx(1, abs=0.03)
    assert copying_ratio(train, train[:500]) == pytest.approx(0, abs=1e-3)
    assert copying_ratio(train, train + 0.01 * new) < 0.03
    assert copying_ratio(train, 3 * new) > 1.5
    # Half of them copies and a few more: the median is a copy's.
    assert copying_ratio(train, np.concatenate([train[:800], new[:700]])) < 1e-3 < copying_ratio(train, new)


def test_copying_ratio_by_hand():
    train = np.array([[0.0], [1.0], [3.0], [7.0]])  # Distances to the nearest other: 1, 1, 2, 4.
    assert copying_ratio(train, np.array([[1.5], [8.0], [20.0]])) == pytest.approx(1 / 1.5)


def test_a_mirrored_copy_is_a_copy():
    random = np.random.default_rng(5)
    train, new = random.standard_normal((2, 1000, 8))
    mirrored = train[:, ::-1]
    assert copying_ratio(train, mirrored) == pytest.approx(1, abs=0.04)
    assert copying_ratio(train, mirrored, mirrored) == pytest.approx(0, abs=1e-3)
    assert copying_ratio(train, train, mirrored) == pytest.approx(0, abs=1e-3)
    assert copying_ratio(train, new, mirrored) == pytest.approx(1, abs=0.03)


def test_an_image_is_not_compared_with_its_own_mirror_image():
    random = np.random.default_rng(6)
    train, new = random.standard_normal((2, 500, 8))
    nearly_symmetric = train + 0.01 * random.standard_normal(train.shape)
    assert copying_ratio(train, new, nearly_symmetric) == pytest.approx(1, abs=0.05)
    # Nor with that of an image that is there twice.
    twice, also = np.concatenate([train, train]), np.concatenate([nearly_symmetric, nearly_symmetric])
    assert copying_ratio(twice, new, twice) == pytest.approx(copying_ratio(train, new, train))
    assert np.isfinite(copying_ratio(twice, new, also))


def test_training_images_that_are_there_twice_count_as_one():
    random = np.random.default_rng(7)
    train, new = (1000 * random.random((2, 400, 30))).astype(np.float32)
    expected = copying_ratio(train, new)
    assert copying_ratio(np.repeat(train, 3, axis=0), new) == pytest.approx(expected, rel=1e-5)
    # Rounding does not make another image of it, and a real difference does.
    assert copying_ratio(np.concatenate([train, train * (1 + 1e-6)]), new) == pytest.approx(expected, rel=1e-4)
    assert copying_ratio(np.concatenate([train, train + 1]), new) > 2 * expected


def test_copying_ratio_does_not_depend_on_the_pieces_it_is_computed_in():
    train, new = np.random.default_rng(8).standard_normal((2, 500, 4))
    mirrored, rows = train[:, ::-1], np.arange(500)
    known = np.concatenate([train, mirrored])
    usual, nearest = (np.linalg.norm(some[:, np.newaxis] - known, axis=-1) for some in (train, new))
    usual[rows, rows] = usual[rows, rows + 500] = np.inf
    with sklearn.config_context(working_memory=1):  # In MB, and there are four to hold.
        found = copying_ratio(train, new, mirrored)
    assert found == pytest.approx(np.median(nearest.min(axis=1)) / np.median(usual.min(axis=1)))


def test_kernel_distance_of_equal_sets_is_zero_within_its_error():
    random = np.random.default_rng(0)
    found = [kernel_distance(*random.standard_normal((2, 200, 6))) for _ in range(40)]
    values, errors = np.array(found).T
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(40)  # Unbiased: as often below 0 as above.
    assert np.mean(np.abs(values) < 2 * errors) > 0.9
    value, error = kernel_distance(random.standard_normal((200, 6)), random.standard_normal((150, 6)) + 0.5)
    assert value > 4 * error > 0


def test_kernel_distance_by_the_sums_of_its_definition():
    random = np.random.default_rng(1)
    real, fake = random.standard_normal((9, 4)), random.standard_normal((7, 4)) * 2

    def estimate(real, fake):
        n, m = len(real), len(fake)
        kernel = sklearn.metrics.pairwise.polynomial_kernel  # (x . y / d + 1)^3 by default.
        inside = [kernel(x).sum() - np.trace(kernel(x)) for x in (real, fake)]
        return inside[0] / (n * (n - 1)) + inside[1] / (m * (m - 1)) - 2 * kernel(real, fake).mean()

    # The jackknife: the values without each image in turn.
    no_real = [estimate(np.delete(real, i, axis=0), fake) for i in range(9)]
    no_fake = [estimate(real, np.delete(fake, i, axis=0)) for i in range(7)]
    error = np.sqrt(8 * np.var(no_real) + 6 * np.var(no_fake))
    assert kernel_distance(real, fake) == pytest.approx((estimate(real, fake), error))


def test_the_kernel_distances_error_is_how_much_it_varies():
    random = np.random.default_rng(2)
    found = [kernel_distance(random.standard_normal((150, 3)), random.standard_normal((150, 3)) + 1) for _ in range(60)]
    values, errors = np.array(found).T
    assert values.std() == pytest.approx(errors.mean(), rel=0.25)


@pytest.mark.parametrize("n, m, shift, spread", [(300, 200, 0, 1), (150, 400, 1, 0.5), (120, 120, 0.5, 2)])
def test_precision_recall_density_and_coverage_against_their_authors(n, m, shift, spread):
    random = np.random.default_rng(n)
    real, fake = random.standard_normal((n, 5)), random.standard_normal((m, 5)) * spread + shift
    expected = prdc.compute_prdc(real, fake, nearest_k=5)
    found = {measure.__name__: measure(real, fake) for measure in (precision, recall, density, coverage)}
    assert found == pytest.approx(expected)


def test_precision_and_recall_see_different_faults():
    random = np.random.default_rng(3)
    real = np.concatenate([random.standard_normal((300, 2)), random.standard_normal((300, 2)) + 20])
    half = random.standard_normal((600, 2))
    assert precision(real, half) > 0.9 and recall(real, half) < 0.55 and coverage(real, half) < 0.55
    assert precision(half, real) < 0.55 and recall(half, real) > 0.9
    one_good_image = 1e-3 * random.standard_normal((600, 2))  # In the middle of the left half.
    assert precision(real, one_good_image) == 1 and density(real, one_good_image) > 0.7
    assert coverage(real, one_good_image) < 0.02


@pytest.mark.parametrize("side, sides", [(28, [28, 14]), (64, [64, 32, 16]), (96, [96, 48, 24])])
def test_the_levels_of_a_pyramid_add_up_to_the_image(side, sides):
    images = np.random.default_rng(0).integers(256, size=(2, side, side, 3), dtype=np.uint8)
    levels = laplacian_pyramid(images)
    assert [level.shape for level in levels] == [(2, n, n, 3) for n in sides]
    rebuilt = levels[-1]
    for level in levels[-2::-1]:  # As OpenCV's pyrUp does it.
        spread = np.zeros_like(level)
        spread[:, ::2, ::2] = rebuilt
        for axis in (1, 2):
            spread = scipy.ndimage.convolve1d(spread, np.array([1, 4, 6, 4, 1]) / 8, axis=axis, mode="mirror")
        rebuilt = level + spread
    np.testing.assert_allclose(rebuilt, images, atol=1e-3)
    flat = laplacian_pyramid(np.full((1, side, side, 1), 90, np.uint8))
    assert np.abs(flat[0]).max() < 1 and flat[-1] == pytest.approx(90, abs=1)


def test_each_level_of_the_pyramid_sees_its_own_fault():
    random = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64] / 64
    phase = random.random((200, 1, 1, 1, 2))
    smooth = 127 + 60 * np.sin(2 * np.pi * (np.stack([y, x], axis=-1)[:, :, None] + phase)).sum(axis=-1) / 2
    real, other = np.split(smooth.repeat(3, axis=-1), 2)
    same = pyramid_distance(real, other)
    grid = pyramid_distance(real, other + 20 * (-1) ** np.indices((64, 64)).sum(axis=0)[..., None])
    redder = pyramid_distance(real, other + np.array([20, 0, 0]))
    assert list(same) == [64, 32, 16]
    assert grid[64] > 10 * same[64] and grid[16] < 1.5 * same[16]
    assert redder[16] > 2 * same[16] and redder[64] < 1.5 * same[64] + 0.05


def test_the_nearest_and_how_far_it_is():
    distances, rows = nearest(np.array([[0.0], [10.0]]), np.array([[1.0], [7.0], [10.0]]))
    assert distances.tolist() == [1, 3, 0] and rows.tolist() == [0, 1, 1]


def test_an_outline_is_the_same_at_any_brightness_and_contrast():
    images = np.random.default_rng(0).integers(60, 120, size=(5, 64, 64, 3), dtype=np.uint8)
    found = copy_descriptors(images)
    assert found.shape == (5, 192)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(copy_descriptors(2 * images + 10), found, atol=1e-4)
    assert np.linalg.norm(found[0] - found[1]) > 0.5
    assert np.isfinite(copy_descriptors(np.full((1, 64, 64, 3), 7, np.uint8))).all()
