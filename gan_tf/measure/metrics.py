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


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """The squared maximum mean discrepancy of features (N, d) and (M, d) under the kernel (x . y / d + 1)^3, and its
    standard error. Unbiased: of two samples of one distribution it is 0 on average, so that it may be below. Called
    KID only in Inception's features (Binkowski et al. 2018, arXiv:1801.01401, section 4). At least 3 images each.

    Where the paper averages over random subsets, this takes all pairs at once, and its error from leaving out each
    image in turn (the jackknife): nothing is drawn at random, and nothing is left to choose.
    """
    real, fake = real.astype(np.float64), fake.astype(np.float64)

    def sums(a, b):
        """Of each row of `a`, the kernel's sum over `b`, and of each of `b` that over `a`."""
        along, across = [], np.zeros(len(b))
        for some in pieces(a):
            kernel = some @ b.T / a.shape[1] + 1
            kernel *= kernel * kernel  # A power takes ten times as long.
            along.append(kernel.sum(axis=1))
            across += kernel.sum(axis=0)
        return np.concatenate(along), across

    def of_itself(a):
        return sums(a, a)[0] - ((a * a).sum(axis=1) / a.shape[1] + 1) ** 3

    n, m = len(real), len(fake)
    within_real, within_fake = of_itself(real), of_itself(fake)
    across_real, across_fake = sums(real, fake)
    reals, fakes, across = within_real.sum(), within_fake.sum(), across_real.sum()
    value = reals / (n * (n - 1)) + fakes / (m * (m - 1)) - 2 * across / (n * m)
    # The same without one real image, for each; and without one fake.
    no_real = (reals - 2 * within_real) / ((n - 1) * (n - 2)) - 2 * (across - across_real) / ((n - 1) * m)
    no_fake = (fakes - 2 * within_fake) / ((m - 1) * (m - 2)) - 2 * (across - across_fake) / (n * (m - 1))
    return float(value), float(np.sqrt((n - 1) * no_real.var() + (m - 1) * no_fake.var()))


def pieces(rows: np.ndarray) -> list[np.ndarray]:
    """`rows` in parts of at most 500, as all pairs at once need gigabytes."""
    return np.array_split(rows, -(-len(rows) // 500))


def radii(points: np.ndarray, k: int) -> np.ndarray:
    """The distance of each point (N, d) to its k-th nearest other one, (N,)."""
    from sklearn.neighbors import NearestNeighbors

    # A point is its own nearest neighbour, hence k + 1.
    return NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points)[0][:, k]


def balls_around(points: np.ndarray, centres: np.ndarray, k: int) -> np.ndarray:
    """In how many balls each point (M, d) lies: around each of `centres` (N, d) one, up to its k-th nearest other."""
    from sklearn.metrics import pairwise_distances_chunked

    reach = radii(centres, k)
    counts = pairwise_distances_chunked(points, centres, reduce_func=lambda found, start: (found < reach).sum(axis=1))
    return np.concatenate([*counts])


def precision(real: np.ndarray, fake: np.ndarray, k: int = 5) -> float:
    """The share of fakes that lie where real images are: in the ball around one, up to its k-th nearest other real
    image (Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 2). Features (N, d) and (M, d). One stray real image with
    a large ball can make it look good, which `density` mends."""
    return float(np.mean(balls_around(fake, real, k) > 0))


def recall(real: np.ndarray, fake: np.ndarray, k: int = 5) -> float:
    """The share of real images that lie where fakes are: `precision` with the two exchanged (eq. 2 there). Scattered
    bad fakes have large balls and make it look good, which `coverage` mends."""
    return precision(fake, real, k)


def density(real: np.ndarray, fake: np.ndarray, k: int = 5) -> float:
    """In how many real images' balls a fake lies on average, over k: about 1 for new real images, and more where the
    fakes keep to what is commonest (Naeem et al. 2020, arXiv:2002.09797, eq. 3). Features (N, d) and (M, d)."""
    return float(np.mean(balls_around(fake, real, k)) / k)


def coverage(real: np.ndarray, fake: np.ndarray, k: int = 5) -> float:
    """The share of real images that have a fake nearer than their k-th nearest real neighbour, from features
    (N, d) and (M, d): 1 where nothing was left out (Naeem et al. 2020, arXiv:2002.09797, eq. 4)."""
    return float(np.mean(nearest(fake, real)[0] < radii(real, k)))


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
    total, columns = 0.0, [x.T.astype(np.float32) for x in (real, fake)]
    for some in np.array_split(directions, -(-projections // 16)):  # As all at once need gigabytes.
        along_real, along_fake = (np.sort(some @ x) for x in columns)
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
    rows, columns = means(height), means(width)
    some = max(1, 2**22 // (height * width))  # As all at once need gigabytes.
    parts = (images[start : start + some] for start in range(0, len(images), some))
    small = [np.einsum("yh,xw,nhwc->nyxc", rows, columns, part, optimize=True) for part in parts]
    return np.concatenate(small).reshape(len(images), -1)


def patches(images: np.ndarray, size: int = 7, per_image: int = 32, seed: int = 0) -> np.ndarray:
    """Images (N, height, width, channels) -> (N * per_image, size * size * channels), of the same type: squares from
    random places, in which there is texture but no layout."""
    random = np.random.default_rng(seed)
    count, height, width, channels = images.shape
    y = random.integers(height - size + 1, size=(count, per_image, 1, 1)) + np.arange(size)[:, np.newaxis]
    x = random.integers(width - size + 1, size=(count, per_image, 1, 1)) + np.arange(size)
    return images[np.arange(count)[:, np.newaxis, np.newaxis, np.newaxis], y, x].reshape(-1, size * size * channels)


def laplacian_pyramid(images: np.ndarray, smallest: int = 14) -> list[np.ndarray]:
    """uint8 or float (N, height, width, channels) -> what each halving takes away, float32, from the finest detail
    on, and last what is left, of `smallest` pixels or a little more: upsampled, they add up to the images again
    (Burt and Adelson 1983, doi:10.1109/TCOM.1983.1095851)."""
    from scipy.ndimage import convolve1d

    def blur(x, weight=1):
        for axis in (1, 2):
            x = convolve1d(x, weight * np.array([1, 4, 6, 4, 1], np.float32) / 16, axis=axis, mode="mirror")
        return x

    levels, rest = [], images.astype(np.float32)
    while min(rest.shape[1:3]) // 2 >= smallest:
        half = blur(rest)[:, ::2, ::2]
        spread = np.zeros_like(rest)
        spread[:, ::2, ::2] = half
        levels.append(rest - blur(spread, weight=2))
        rest = half
    return [*levels, rest]


def pyramid_distance(real: np.ndarray, fake: np.ndarray, projections: int = 128) -> dict[int, float]:
    """The sliced Wasserstein distance of 7x7 patches at each level of the Laplacian pyramid, by the level's height in
    pixels, in grey levels: at the largest of fine texture, at the smallest of shapes and colours. Images uint8 (N,
    height, width, channels) (Karras et al. 2018, arXiv:1710.10196, section 5, who normalise the colours away)."""

    def patches_by_level(images):
        parts, per_image = [], int(np.clip(2**14 // len(images), 1, 64))  # So many that more change nothing.
        for start in range(0, len(images), 256):  # As a pyramid is four times as large as its images or more.
            levels = laplacian_pyramid(images[start : start + 256])
            parts.append([patches(level, per_image=per_image, seed=start) for level in levels])
        return {
            level.shape[1]: np.concatenate(found) for level, found in zip(levels, zip(*parts, strict=True), strict=True)
        }

    reals, fakes = patches_by_level(real), patches_by_level(fake)
    return {side: sliced_wasserstein(reals[side], fakes[side], projections) for side in reals}


def copy_descriptors(images: np.ndarray) -> np.ndarray:
    """Thumbnails of 8x8 without brightness and contrast, (N, 64 * channels) of length 1: where copies are looked for.
    Here a copy is near its original even when it is blurred, or moved by two pixels in 64, which it is in no network's
    features; and an image is not near to all others for being pale or blurred, which it is in the pixels."""
    values = thumbnails(images, 8)
    values -= values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def nearest(known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row of `asked` (M, d), the distance to the nearest row of `known` (N, d), and which it is: (M,) each."""
    from sklearn.neighbors import NearestNeighbors

    distances, rows = NearestNeighbors(n_neighbors=1).fit(known).kneighbors(asked)
    return distances[:, 0], rows[:, 0]


def copying_ratio(train: np.ndarray, fake: np.ndarray, mirrored: np.ndarray | None = None) -> float:
    """The median distance of a fake to the nearest training image, over that of a training image to the nearest
    other one: about 1 for new images of the same kind, near 0 for copies (after Meehan et al. 2020,
    arXiv:2004.05675, who test whether fakes lie nearer than new images do).

    `train` is (N, d) and `fake` (M, d). `mirrored` is (N, d) too, the same training images mirrored, in the same
    order: a mirrored copy is a copy. Training images that are there twice count as one.
    """
    from sklearn.metrics import pairwise_distances_chunked

    known = train if mirrored is None else np.concatenate([train, mirrored])
    some = np.random.default_rng(0).permutation(len(train))[:2000]  # Enough for a median.
    # Nearer than rounding can tell: the image itself, or another copy of it.
    same = 1e-4 * np.sqrt(np.mean(np.sum(np.square(train, dtype=np.float64), axis=1)))

    def to_nearest_other(distances, start):
        rows = np.arange(len(distances))
        for first in range(0, len(known), len(train)):  # Itself, and its mirror image, which may be very like it.
            distances[rows, first + some[start + rows]] = np.inf
        distances[distances < same] = np.inf
        return distances.min(axis=1)

    usual = np.concatenate([*pairwise_distances_chunked(train[some], known, reduce_func=to_nearest_other)])
    return float(np.median(nearest(known, fake)[0]) / np.median(usual))
