"""Distances between two sets of images, given as features (N, dimensions). Nothing else of gan_tf."""

import numpy as np


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """The squared Frechet distance of two Gaussians fitted to the features, (N, d) and (M, d): 0 where means and
    covariances agree. Called FID only in Inception's features (Heusel et al. 2017, arXiv:1706.08500, section 3).
    """
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    covariances = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    # The trace of the root of a matrix is the sum of the roots of its eigenvalues, which are real and not
    # negative for a product of covariances, but for rounding.
    roots = np.sqrt(np.clip(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0, None))
    between_means = np.sum((real.mean(axis=0) - fake.mean(axis=0)) ** 2)
    return float(between_means + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * roots.sum())


def coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> float:
    """The share of real images that have a fake nearer than their k-th nearest real neighbour, from features
    (N, d) and (M, d): 1 where nothing was left out (Naeem et al. 2020, arXiv:2002.09797, eq. 4)."""
    from sklearn.neighbors import NearestNeighbors

    # An image is its own nearest neighbour, hence k + 1.
    radii = NearestNeighbors(n_neighbors=k + 1).fit(real).kneighbors(real)[0][:, k]
    nearest_fake = NearestNeighbors(n_neighbors=1).fit(fake).kneighbors(real)[0][:, 0]
    return float(np.mean(nearest_fake < radii))
