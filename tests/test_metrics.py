import numpy as np
import pytest
import scipy.linalg

from gan_tf.metrics import coverage, frechet_distance


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
