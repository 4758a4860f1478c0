"""How two sets of images differ. Arrays in, numbers out: rows are images, as features (N, d) that a network made
of them or as the pixels that `thumbnails` and `patches` take. Nothing else of gan_tf."""

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


def sliced_wasserstein(real: np.ndarray, fake: np.ndarray, projections: int = 512, seed: int = 0) -> float:
    """The Wasserstein-1 distance of (N, d) and (M, d) along a line, averaged over `projections` random unit
    directions: how far a value has to be moved on average, in the unit of the values (Rabin et al. 2011,
    doi:10.1007/978-3-642-24785-9_37; for images Karras et al. 2018, arXiv:1710.10196, section 5, who however
    normalise the colours first, so that theirs do not count).
    """
    n, m = len(real), len(fake)
    # On a line it is the area between the two quantile functions. Those are constant between the multiples of
    # 1 / n and of 1 / m; in whole numbers (times n * m), so that no two of them differ by rounding only.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    weights = np.diff(ends, prepend=0) / (n * m)
    in_real, in_fake = (ends - 1) // m, (ends - 1) // n
    directions = np.random.default_rng(seed).standard_normal((projections, real.shape[1]))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    total = 0.0
    for some in np.array_split(directions, -(-projections // 16)):  # As all at once need gigabytes.
        along_real, along_fake = (np.sort(some @ x.T.astype(np.float32)) for x in (real, fake))
        total += np.sum(np.abs(along_real[:, in_real] - along_fake[:, in_fake]) @ weights)
    return float(total / projections)


def thumbnails(images: np.ndarray, size: int = 16) -> np.ndarray:
    """uint8 (N, height, width, channels) -> float32 (N, size * size * channels) in [0, 255]: each value is the
    mean over its part of the image, parts of pixels counted as such."""

    def means(side):
        edges = np.linspace(0, side, size + 1)[:, np.newaxis]
        below = np.clip(edges - np.arange(side), 0, 1)  # How much of each pixel lies before each edge.
        return (np.diff(below, axis=0) * size / side).astype(np.float32)

    _, height, width, _ = images.shape
    small = [np.einsum("yh,xw,hwc->yxc", means(height), means(width), one, optimize=True) for one in images]
    return np.stack(small).reshape(len(images), -1)


def patches(images: np.ndarray, size: int = 7, per_image: int = 32, seed: int = 0) -> np.ndarray:
    """uint8 (N, height, width, channels) -> uint8 (N * per_image, size * size * channels): squares from random
    places, in which there is texture but no layout."""
    random = np.random.default_rng(seed)
    count, height, width, channels = images.shape
    y = random.integers(height - size + 1, size=(count, per_image, 1, 1)) + np.arange(size)[:, np.newaxis]
    x = random.integers(width - size + 1, size=(count, per_image, 1, 1)) + np.arange(size)
    return images[np.arange(count)[:, np.newaxis, np.newaxis, np.newaxis], y, x].reshape(-1, size * size * channels)


def copying_ratio(train: np.ndarray, fake: np.ndarray, mirrored: np.ndarray | None = None) -> float:
    """The median distance of a fake to the nearest training image, over that of a training image to the nearest
    other one: about 1 for new images of the same kind, near 0 for copies (after Meehan et al. 2020,
    arXiv:2004.05675, who test whether fakes lie nearer than new images do).

    `train` is (N, d) and `fake` (M, d). `mirrored` is (N, d) too, the same training images mirrored, in the same
    order: a mirrored copy is a copy. Training images that are there twice count as one.
    """
    from sklearn.metrics import pairwise_distances_chunked
    from sklearn.neighbors import NearestNeighbors

    known = train if mirrored is None else np.concatenate([train, mirrored])
    # Nearer than rounding can tell: the image itself, or another copy of it.
    same = 1e-4 * np.sqrt(np.mean(np.sum(np.square(train, dtype=np.float64), axis=1)))

    def to_nearest_other(distances, start):
        rows = np.arange(len(distances))
        for own in range(start, len(known), len(train)):  # Itself, and its mirror image, which may be very like it.
            distances[rows, own + rows] = np.inf
        distances[distances < same] = np.inf
        return distances.min(axis=1)

    usual = np.concatenate([*pairwise_distances_chunked(train, known, reduce_func=to_nearest_other)])
    nearest = NearestNeighbors(n_neighbors=1).fit(known).kneighbors(fake)[0]
    return float(np.median(nearest) / np.median(usual))
