import math

import numpy as np
import prdc as reference_prdc
import pytest
import scipy.linalg
import scipy.ndimage
import scipy.stats
import sklearn.metrics
from PIL import Image

from gan_tf.measure import metrics
from gan_tf.measure.metrics import (
    copy_descriptors,
    copying_ratio,
    frechet_distance,
    kernel_distance,
    knn_radii,
    laplacian_pyramid,
    nearest,
    patches,
    prdc,
    pyramid_patches,
    sliced_wasserstein,
    thumbnails,
)


def test_frechet_distance_of_known_gaussians():
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


def test_coverage_counts_what_is_missing():
    random = np.random.default_rng(2)
    left, right = random.standard_normal((300, 2)), random.standard_normal((100, 2)) + 50
    real = np.concatenate([left, right])
    assert prdc(real, real).coverage == 1
    assert prdc(real, random.standard_normal((4000, 2))).coverage == pytest.approx(0.75, abs=0.01)
    assert prdc(real, right[:6]).coverage < 0.3


def test_coverage_by_hand():
    real = np.array([[0.0], [1.0], [3.0], [7.0]])  # Distances to the nearest other: 1, 1, 2, 4.
    assert prdc(real, np.array([[2.0], [20.0]]), k=1).coverage == 0.25
    assert prdc(real, np.array([[3.5], [3.5]]), k=1).coverage == 0.5


@pytest.mark.parametrize("n, m", [(40, 40), (40, 25), (7, 300), (1, 5)])
def test_sliced_wasserstein_in_one_dimension_agrees_with_scipy(n, m):
    random = np.random.default_rng(n)
    real, fake = random.standard_normal((n, 1)) * 3, random.gamma(2, size=(m, 1)) + 1
    expected = scipy.stats.wasserstein_distance(real[:, 0], fake[:, 0])
    assert sliced_wasserstein(real, fake, projections=3) == pytest.approx(expected, rel=1e-4)
    assert sliced_wasserstein(fake, real, projections=3) == pytest.approx(expected, rel=1e-4)


def test_sliced_wasserstein_in_a_plane_is_the_mean_over_all_directions():
    random = np.random.default_rng(0)
    real, fake = random.standard_normal((60, 2)) * [1, 5], random.normal([2, 1], size=(41, 2))
    angles = np.arange(0, np.pi, np.pi / 360)
    lines = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    expected = np.mean([scipy.stats.wasserstein_distance(real @ line, fake @ line) for line in lines])
    assert sliced_wasserstein(real, fake, projections=5000) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("d", [2, 10, 300])
def test_sliced_wasserstein_of_a_shift_is_the_mean_projection(d):
    random = np.random.default_rng(d)
    real = random.standard_normal((50, d))
    shift = random.standard_normal(d)
    shift *= 9 / np.linalg.norm(shift)
    # E|u_1| for a random unit vector u. A shift moves every value by its component along the line.
    cosine = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2)) / math.sqrt(math.pi)
    found = sliced_wasserstein(real, random.permutation(real) + shift, projections=2000)
    assert found == pytest.approx(9 * cosine, rel=0.04)


def test_sliced_wasserstein_ignores_order_and_depends_on_the_seed():
    random = np.random.default_rng(3)
    real, fake = random.standard_normal((50, 6)), random.standard_normal((70, 6)) * 2
    found = sliced_wasserstein(real, fake, projections=20)
    assert sliced_wasserstein(random.permutation(real), random.permutation(fake), projections=20) == found
    assert sliced_wasserstein(real, fake, projections=20, seed=1) != found
    assert sliced_wasserstein(real, random.permutation(real), projections=20) == pytest.approx(0, abs=1e-6)
    # Repeating every image does not change the distribution.
    assert sliced_wasserstein(real, np.repeat(fake, 2, axis=0), projections=20) == pytest.approx(found, rel=1e-5)


def test_sliced_wasserstein_of_uint8_does_not_overflow():
    black, white = np.zeros((5, 4), np.uint8), np.full((8, 4), 255, np.uint8)
    assert sliced_wasserstein(black, white) == sliced_wasserstein(white, black) > 100


def test_a_thumbnail_averages_each_part():
    images = np.random.default_rng(0).integers(256, size=(3, 64, 64, 3), dtype=np.uint8)
    small = thumbnails(images)
    assert small.shape == (3, 16 * 16 * 3) and small.dtype == np.float32
    np.testing.assert_allclose(small[1].reshape(16, 16, 3)[2, 5], images[1, 8:12, 20:24].mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(thumbnails(images, 64), images.reshape(3, -1), rtol=1e-5)


def test_a_thumbnail_splits_pixels_on_a_boundary():
    images = np.array([0, 30, 90], np.uint8).reshape(1, 3, 1, 1) + np.zeros((1, 3, 5, 1), np.uint8)
    # Halves of three rows: (0 + 30 / 2) / 1.5 and (30 / 2 + 90) / 1.5.
    np.testing.assert_allclose(thumbnails(images, 2), [[10, 10, 70, 70]], rtol=1e-5)
    assert thumbnails(np.full((1, 28, 28, 1), 7, np.uint8)) == pytest.approx(7)


def test_patches_are_squares_from_everywhere_in_the_image():
    y, x = np.mgrid[:12, :20]
    images = np.stack([np.stack([y, x, y * 0 + i], axis=-1) for i in range(4)]).astype(np.uint8)
    found = patches(images, size=7, per_image=200)
    assert found.shape == (800, 7 * 7 * 3) and found.dtype == np.uint8
    squares = found.reshape(4, 200, 7, 7, 3).astype(int)
    corners = squares[:, :, :1, :1]
    np.testing.assert_array_equal((squares - corners)[..., 0], np.broadcast_to(np.arange(7)[:, None], (4, 200, 7, 7)))
    np.testing.assert_array_equal((squares - corners)[..., 1], np.broadcast_to(np.arange(7), (4, 200, 7, 7)))
    np.testing.assert_array_equal(squares[..., 2], np.arange(4)[:, None, None, None] + np.zeros((200, 7, 7), int))
    # Corners reach from the first possible place to the last.
    assert set(corners[..., 0].flat) == set(range(6)) and set(corners[..., 1].flat) == set(range(14))
    np.testing.assert_array_equal(found, patches(images, per_image=200))
    assert (found != patches(images, per_image=200, seed=1)).any()


def ratio(train, fake, new):
    return copying_ratio(nearest(train, fake)[0], nearest(train, new)[0])


def test_copying_ratio_is_0_for_copies_and_1_for_new_images():
    train, new, fake = np.random.default_rng(4).standard_normal((3, 1500, 10))
    assert ratio(train, fake, new) == pytest.approx(1, abs=0.03)
    assert ratio(train, train[:500], new) == pytest.approx(0, abs=1e-3)
    assert ratio(train, train + 0.01 * fake, new) < 0.03
    assert ratio(train, 3 * fake, new) > 1.5
    # If just over half of the fakes are copies, the median fake is a copy.
    assert ratio(train, np.concatenate([train[:800], fake[:700]]), new) < 1e-3


def test_copying_ratio_by_hand():
    train = np.array([[0.0], [1.0], [3.0], [7.0]])
    fake, new = np.array([[1.5], [8.0], [20.0]]), np.array([[5.0], [2.0], [-4.0]])  # 0.5, 1, 13; 2, 1, 4.
    assert ratio(train, fake, new) == pytest.approx(1 / 2)


def test_kernel_distance_of_equal_distributions_is_zero_within_its_error():
    random = np.random.default_rng(0)
    found = [kernel_distance(*random.standard_normal((2, 200, 6))) for _ in range(40)]
    values, errors = np.array(found).T
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(40)  # Unbiased, so the mean is 0.
    assert np.mean(np.abs(values) < 2 * errors) > 0.9
    value, error = kernel_distance(random.standard_normal((200, 6)), random.standard_normal((150, 6)) + 0.5)
    assert value > 4 * error > 0


def test_kernel_distance_and_its_error_by_definition():
    random = np.random.default_rng(1)
    real, fake = random.standard_normal((9, 4)), random.standard_normal((7, 4)) * 2

    def estimate(real, fake):
        n, m = len(real), len(fake)
        kernel = sklearn.metrics.pairwise.polynomial_kernel  # Defaults to (x . y / d + 1)^3.
        inside = [kernel(x).sum() - np.trace(kernel(x)) for x in (real, fake)]
        return inside[0] / (n * (n - 1)) + inside[1] / (m * (m - 1)) - 2 * kernel(real, fake).mean()

    # The jackknife: the estimate without each image in turn.
    no_real = [estimate(np.delete(real, i, axis=0), fake) for i in range(9)]
    no_fake = [estimate(real, np.delete(fake, i, axis=0)) for i in range(7)]
    error = np.sqrt(8 * np.var(no_real) + 6 * np.var(no_fake))
    assert kernel_distance(real, fake) == pytest.approx((estimate(real, fake), error))


def test_the_error_of_the_kernel_distance_is_its_standard_deviation():
    random = np.random.default_rng(2)
    found = [kernel_distance(random.standard_normal((150, 3)), random.standard_normal((150, 3)) + 1) for _ in range(60)]
    values, errors = np.array(found).T
    assert values.std() == pytest.approx(errors.mean(), rel=0.25)


@pytest.mark.parametrize("n, m, shift, scale", [(300, 200, 0, 1), (150, 1200, 1, 0.5), (700, 600, 0.5, 2)])
@pytest.mark.parametrize("k", [3, 5])
def test_prdc_agrees_with_its_authors_package(n, m, shift, scale, k):
    random = np.random.default_rng(n)
    real, fake = random.standard_normal((n, 5)), random.standard_normal((m, 5)) * scale + shift
    expected = reference_prdc.compute_prdc(real, fake, nearest_k=k)
    assert prdc(real, fake, k)._asdict() == pytest.approx(expected)


def test_the_four_measures_share_one_neighbour_search(monkeypatch):
    searched = []
    monkeypatch.setattr(metrics, "knn_radii", lambda points, k: searched.append(len(points)) or knn_radii(points, k))
    prdc(np.random.default_rng(0).standard_normal((30, 2)), np.random.default_rng(1).standard_normal((40, 2)))
    assert searched == [30, 40]


def test_knn_radii_by_hand():
    points = np.array([[0.0], [1.0], [3.0], [7.0]])
    assert knn_radii(points, 1).tolist() == [1, 1, 2, 4] and knn_radii(points, 2).tolist() == [3, 2, 3, 6]


def test_precision_recall_and_coverage_detect_different_faults():
    random = np.random.default_rng(3)
    real = np.concatenate([random.standard_normal((300, 2)), random.standard_normal((300, 2)) + 20])
    half = random.standard_normal((600, 2))
    found = prdc(real, half)
    assert found.precision > 0.9 and found.recall < 0.55 and found.coverage < 0.55
    found = prdc(half, real)
    assert found.precision < 0.55 and found.recall > 0.9
    one_good_image = 1e-3 * random.standard_normal((600, 2))  # In the middle of the left cluster.
    found = prdc(real, one_good_image)
    assert found.precision == 1 and found.density > 0.7 and found.coverage < 0.02


@pytest.mark.parametrize("side, sides", [(28, [28, 14]), (64, [64, 32, 16]), (96, [96, 48, 24])])
def test_the_levels_of_a_pyramid_add_up_to_the_image(side, sides):
    images = np.random.default_rng(0).integers(256, size=(2, side, side, 3), dtype=np.uint8)
    levels = laplacian_pyramid(images)
    assert [level.shape for level in levels] == [(2, n, n, 3) for n in sides]
    rebuilt = levels[-1]
    for level in levels[-2::-1]:  # The same as OpenCV's pyrUp.
        spread = np.zeros_like(level)
        spread[:, ::2, ::2] = rebuilt
        for axis in (1, 2):
            spread = scipy.ndimage.convolve1d(spread, np.array([1, 4, 6, 4, 1]) / 8, axis=axis, mode="mirror")
        rebuilt = level + spread
    np.testing.assert_allclose(rebuilt, images, atol=1e-3)
    flat = laplacian_pyramid(np.full((1, side, side, 1), 90, np.uint8))
    assert np.abs(flat[0]).max() < 1 and flat[-1] == pytest.approx(90, abs=1)


def test_each_level_of_the_pyramid_detects_its_own_fault():
    random = np.random.default_rng(1)
    y, x = np.mgrid[:64, :64] / 64
    phase = random.random((200, 1, 1, 1, 2))
    smooth = 127 + 60 * np.sin(2 * np.pi * (np.stack([y, x], axis=-1)[:, :, None] + phase)).sum(axis=-1) / 2
    real, other = np.split(smooth.repeat(3, axis=-1), 2)

    def distances(fake):
        reals, fakes = (pyramid_patches(x, per_image=64) for x in (real, fake))
        return {side: sliced_wasserstein(*(x[side].reshape(-1, 147) for x in (reals, fakes)), 128) for side in reals}

    same = distances(other)
    grid = distances(other + 20 * (-1) ** np.indices((64, 64)).sum(axis=0)[..., None])
    redder = distances(other + np.array([20, 0, 0]))
    assert list(same) == [64, 32, 16]
    assert grid[64] > 10 * same[64] and grid[16] < 1.5 * same[16]
    assert redder[16] > 2 * same[16] and redder[64] < 1.5 * same[64] + 0.05


def test_pyramid_patches_keep_the_order_of_the_images():
    images = np.repeat(np.arange(0, 250, 50, dtype=np.uint8), 60)[:, None, None, None] + np.zeros(
        (1, 28, 28, 1), np.uint8
    )
    found = pyramid_patches(images, per_image=3)
    assert {side: x.shape for side, x in found.items()} == {28: (300, 3, 49), 14: (300, 3, 49)}
    np.testing.assert_allclose(found[14], np.broadcast_to(images[:, 0, 0, 0, None, None], (300, 3, 49)), atol=1)


def test_nearest_returns_distances_and_rows():
    distances, rows = nearest(np.array([[0.0], [10.0]]), np.array([[1.0], [7.0], [10.0]]))
    assert distances.tolist() == [1, 3, 0] and rows.tolist() == [0, 1, 1]


def test_a_copy_descriptor_ignores_brightness_and_contrast():
    images = np.random.default_rng(0).integers(60, 120, size=(5, 64, 64, 3), dtype=np.uint8)
    found = copy_descriptors(images)
    assert found.shape == (5, 192)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(copy_descriptors(2 * images + 10), found, atol=1e-4)
    assert np.linalg.norm(found[0] - found[1]) > 0.5
    assert np.isfinite(copy_descriptors(np.full((1, 64, 64, 3), 7, np.uint8))).all()


def smooth(count=200, side=32, seed=0):
    """Images whose power falls with frequency, as in photographs: uint8 (count, side, side, 3)."""
    noise = np.random.default_rng(seed).standard_normal((count, side, side, 3))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)) + 1 / side
    found = np.fft.ifft2(np.fft.fft2(noise, axes=(1, 2)) / frequency[..., None], axes=(1, 2)).real
    return np.clip(127 + 8 * found, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "period, pattern",
    [
        (2, lambda y, x: x % 2),
        (2, lambda y, x: (y + x) % 2),
        (4, lambda y, x: y % 4 < 2),
        (4, lambda y, x: (y + x) % 4 < 2),
        (4, lambda y, x: (y - x) % 4 < 2),
    ],
)
@pytest.mark.parametrize("shifted", [False, True])
def test_a_grid_is_seen_at_its_period_and_at_no_other(period, pattern, shifted):
    real, fake = smooth(seed=1), smooth(seed=2).astype(int)
    y, x = np.indices((32, 32))
    if shifted:  # Half of the fakes have the grid one pixel further.
        fake[::2] += 6 * pattern(y, x)[..., None] - 3
        fake[1::2] += 6 * pattern(y, x + 1)[..., None] - 3
    else:
        fake += 6 * pattern(y, x)[..., None] - 3
    found = metrics.grid_excess(metrics.grid_spectrum(real), metrics.grid_spectrum(np.clip(fake, 0, 255)))
    assert found[period] > 2.5 and found[6 - period] < 1.5


def test_a_transparent_image_is_measured_as_it_is_seen():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (6, 32, 32, 4), np.uint8)
    images[:, :16, :, 3], images[:, 16:20, :, 3] = 0, 255
    seen = metrics.as_seen(images)
    for one, ours in zip(images, seen, strict=True):
        white = Image.new("RGBA", (32, 32), "white")
        theirs = np.asarray(Image.alpha_composite(white, Image.fromarray(one)))[..., :3].astype(int)
        np.testing.assert_allclose(ours[..., :3], theirs, atol=1)
    np.testing.assert_array_equal(seen[..., 3], images[..., 3])
    other = images.copy()
    other[:, :16, :, :3] = random.integers(0, 256, (6, 16, 32, 3), np.uint8)  # Nobody sees this.
    measures = (thumbnails, copy_descriptors, metrics.grid_spectrum, lambda x: pyramid_patches(x, 4)[32])
    for measure in measures:
        np.testing.assert_array_equal(measure(other), measure(images))
    clear = images.copy()
    clear[..., 3] = 0
    for measure in measures:
        assert not np.allclose(measure(clear), measure(images))


def test_images_too_small_to_tell_a_grid_have_no_excess():
    spectra = [metrics.grid_spectrum(smooth(side=8, seed=seed)) for seed in (1, 2)]
    assert metrics.grid_excess(*spectra) == {}
    wide = [np.concatenate([smooth(side=16, seed=seed), smooth(side=16, seed=seed + 2)], axis=2) for seed in (1, 2)]
    assert {*metrics.grid_excess(*map(metrics.grid_spectrum, wide))} == {2, 4}


def test_without_a_grid_the_excess_is_about_one_whatever_the_images():
    for real, fake in ((smooth(seed=1), smooth(seed=2)), (smooth(side=28, seed=3), smooth(side=28, seed=4))):
        found = metrics.grid_excess(metrics.grid_spectrum(real), metrics.grid_spectrum(fake))
        assert all(0.8 < ratio < 1.25 for ratio in found.values()), found
    edges = smooth(seed=5)
    edges[:, 10:20, 8:30] = 255  # Horizontal and vertical edges are no grid.
    found = metrics.grid_excess(metrics.grid_spectrum(smooth(seed=6)), metrics.grid_spectrum(edges))
    assert max(found.values()) < 1.6, found
