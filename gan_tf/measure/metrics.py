"""Distances between two sets of images. Arrays in, numbers out.

Rows are images: features (N, d) from a network, or pixels from `thumbnails` and `patches`. This module imports nothing
else of gan_tf.
"""

from typing import NamedTuple

import numpy as np


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Squared Frechet distance between two Gaussians fitted to features (N, d) and (M, d): 0 if means and covariances
    agree. It is called FID only for Inception's features (Heusel et al. 2017, arXiv:1706.08500, section 3).

    The estimate is biased upwards by about c/N + c/M. Compare values only if N and M are the same for both.
    """
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    covariances = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
    # The trace of a matrix root is the sum of the roots of the eigenvalues. The eigenvalues of a product of two
    # covariances are real and non-negative, except for rounding.
    roots = np.sqrt(np.clip(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0, None))
    between_means = np.sum((real.mean(axis=0) - fake.mean(axis=0)) ** 2)
    return float(between_means + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * roots.sum())


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Squared maximum mean discrepancy of features (N, d) and (M, d) with the kernel (x . y / d + 1)^3, and its
    standard error. N and M are at least 3. It is called KID only for Inception's features (Binkowski et al. 2018,
    arXiv:1801.01401, section 4).

    The estimate is unbiased: for two samples of one distribution it is 0 on average, so single values may be negative.
    The paper averages over random subsets. This uses all pairs at once, and the jackknife for the error (leave out
    each image in turn), so nothing is random and there is nothing to tune.
    """
    real, fake = real.astype(np.float64), fake.astype(np.float64)

    def kernel_sums(a, b):
        """The kernel summed over `b` for each row of `a`, and over `a` for each row of `b`."""
        over_b, over_a = [], np.zeros(len(b))
        for chunk in chunks(a):
            kernel = chunk @ b.T / a.shape[1] + 1
            kernel *= kernel * kernel  # kernel**3 takes ten times as long.
            over_b.append(kernel.sum(axis=1))
            over_a += kernel.sum(axis=0)
        return np.concatenate(over_b), over_a

    def sums_over_others(a):
        return kernel_sums(a, a)[0] - ((a * a).sum(axis=1) / a.shape[1] + 1) ** 3

    n, m = len(real), len(fake)
    within_real, within_fake = sums_over_others(real), sums_over_others(fake)
    across_real, across_fake = kernel_sums(real, fake)
    reals, fakes, across = within_real.sum(), within_fake.sum(), across_real.sum()
    value = reals / (n * (n - 1)) + fakes / (m * (m - 1)) - 2 * across / (n * m)
    # The same estimate without each real image in turn, then without each fake.
    no_real = (reals - 2 * within_real) / ((n - 1) * (n - 2)) - 2 * (across - across_real) / ((n - 1) * m)
    no_fake = (fakes - 2 * within_fake) / ((m - 1) * (m - 2)) - 2 * (across - across_fake) / (n * (m - 1))
    return float(value), float(np.sqrt((n - 1) * no_real.var() + (m - 1) * no_fake.var()))


def chunks(rows: np.ndarray) -> list[np.ndarray]:
    """`rows` in chunks of at most 500: the distances of all pairs at once would need gigabytes."""
    return np.array_split(rows, -(-len(rows) // 500))


class PRDC(NamedTuple):
    """Four measures of the same neighbourhoods; `prdc` computes them."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: np.ndarray, fake: np.ndarray, k: int = 5) -> PRDC:
    """Precision, recall, density and coverage of features (N, d) and (M, d), from one computation of the k-nearest
    neighbours. Each image has a ball: it reaches to the k-th nearest other image of its own set.

    - `precision`: the share of fakes inside the ball of some real image (Kynkaanniemi et al. 2019, arXiv:1904.06991,
      eq. 2). One real outlier has a huge ball and can make it look good; `density` does not have this flaw.
    - `recall`: the share of real images inside the ball of some fake (eq. 2 there). Scattered bad fakes have large
      balls and make it look good; `coverage` does not have this flaw.
    - `density`: how many real balls contain a fake on average, divided by k (Naeem et al. 2020, arXiv:2002.09797,
      eq. 3). About 1 for new real images; above 1 if the fakes keep to the most common kinds.
    - `coverage`: the share of real images whose ball contains a fake (eq. 4 there). 1 if nothing was left out.

    All four depend on N and M. Raises ValueError if N or M is at most k.
    """
    from sklearn.metrics import euclidean_distances

    real_radii, fake_radii = knn_radii(real, k), knn_radii(fake, k)
    real_balls = []  # For each fake, the number of real balls around it.
    in_fake_ball, in_own_ball = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for chunk, radii in zip(chunks(fake), chunks(fake_radii), strict=True):
        distances = euclidean_distances(chunk, real)
        in_real_ball = distances < real_radii
        real_balls.append(in_real_ball.sum(axis=1))
        in_own_ball |= in_real_ball.any(axis=0)
        in_fake_ball |= (distances < radii[:, np.newaxis]).any(axis=0)
    counts = np.concatenate(real_balls)
    return PRDC(
        precision=float(np.mean(counts > 0)),
        recall=float(np.mean(in_fake_ball)),
        density=float(np.mean(counts) / k),
        coverage=float(np.mean(in_own_ball)),
    )


def knn_radii(points: np.ndarray, k: int) -> np.ndarray:
    """The distance of each point (N, d) to its k-th nearest other point, (N,)."""
    from sklearn.neighbors import NearestNeighbors

    # Each point is its own nearest neighbour, hence k + 1.
    return NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points)[0][:, k]


def sliced_wasserstein(real: np.ndarray, fake: np.ndarray, projections: int = 512, seed: int = 0) -> float:
    """Wasserstein-1 distance of (N, d) and (M, d) along a line, averaged over `projections` random unit directions,
    in the unit of the values (Rabin et al. 2011, doi:10.1007/978-3-642-24785-9_37). Along a line it is how far a value
    has to move on average. Karras et al. 2018 (arXiv:1710.10196, section 5) use it for images but normalise the
    colours first; this does not.
    """
    n, m = len(real), len(fake)
    # On a line, the distance is the area between the two quantile functions. They are constant between multiples of
    # 1/n and 1/m. Integers (multiples of 1/(n * m)) avoid pairs of ends that differ only by rounding.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    weights = np.diff(ends, prepend=0) / (n * m)
    in_real, in_fake = (ends - 1) // m, (ends - 1) // n
    directions = np.random.default_rng(seed).standard_normal((projections, real.shape[1]))
    directions = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).astype(np.float32)
    total, columns = 0.0, [x.T.astype(np.float32) for x in (real, fake)]
    for chunk in np.array_split(directions, -(-projections // 16)):  # All at once would need gigabytes.
        sorted_real, sorted_fake = (np.sort(chunk @ x) for x in columns)
        total += np.sum(np.abs(sorted_real[:, in_real] - sorted_fake[:, in_fake]) @ weights)
    return float(total / projections)


def as_seen(images: np.ndarray) -> np.ndarray:
    """Transparent images, uint8 (N, height, width, 4), as people see them: their colours on white, and their opacity.
    The colour of a transparent pixel counts for nothing. Other images stay as they are."""
    if images.shape[-1] != 4:
        return images
    opacity = images[..., 3:]
    missing = (255 - images[..., :3]) * opacity.astype(np.uint16)  # Of white; 255 * 255 fits.
    return np.concatenate([255 - ((missing + 127) // 255).astype(np.uint8), opacity], axis=-1)


def thumbnails(images: np.ndarray, size: int = 16) -> np.ndarray:
    """Shrink uint8 images (N, height, width, channels), as they are seen, to float32 (N, size * size * channels) in
    [0, 255]. Each value is the mean over its part of the image; a pixel on a boundary counts for both parts by its
    share."""

    def weights(side):
        edges = np.linspace(0, side, size + 1)[:, np.newaxis]
        below = np.clip(edges - np.arange(side), 0, 1)  # How much of each pixel lies before each edge.
        return (np.diff(below, axis=0) * size / side).astype(np.float32)

    _, height, width, _ = images.shape
    rows, columns = weights(height), weights(width)
    batch = max(1, 2**22 // (height * width))  # All at once would need gigabytes.
    parts = (as_seen(images[start : start + batch]) for start in range(0, len(images), batch))
    small = [np.einsum("yh,xw,nhwc->nyxc", rows, columns, part, optimize=True) for part in parts]
    return np.concatenate(small).reshape(len(images), -1)


def patches(images: np.ndarray, size: int = 7, per_image: int = 32, seed: int = 0) -> np.ndarray:
    """Squares from random places of images (N, height, width, channels): (N * per_image, size * size * channels) of the
    same type, ordered by image. They show texture, but not layout."""
    random = np.random.default_rng(seed)
    count, height, width, channels = images.shape
    y = random.integers(height - size + 1, size=(count, per_image, 1, 1)) + np.arange(size)[:, np.newaxis]
    x = random.integers(width - size + 1, size=(count, per_image, 1, 1)) + np.arange(size)
    return images[np.arange(count)[:, np.newaxis, np.newaxis, np.newaxis], y, x].reshape(-1, size * size * channels)


def laplacian_pyramid(images: np.ndarray, smallest: int = 14) -> list[np.ndarray]:
    """The detail that each halving of images (N, height, width, channels) removes, as float32 from fine to coarse, and
    last what remains: `smallest` pixels or a little more. Upsampled, the levels add up to the images (Burt and Adelson
    1983, doi:10.1109/TCOM.1983.1095851)."""
    from scipy.ndimage import convolve1d

    def blur(x, weight=1):
        for axis in (1, 2):
            x = convolve1d(x, weight * np.array([1, 4, 6, 4, 1], np.float32) / 16, axis=axis, mode="mirror")
        return x

    levels, rest = [], images.astype(np.float32)
    while min(rest.shape[1:3]) // 2 >= smallest:
        half = blur(rest)[:, ::2, ::2]
        upsampled = np.zeros_like(rest)
        upsampled[:, ::2, ::2] = half
        levels.append(rest - blur(upsampled, weight=2))
        rest = half
    return [*levels, rest]


def pyramid_patches(images: np.ndarray, per_image: int) -> dict[int, np.ndarray]:
    """7x7 patches from each level of the images' Laplacian pyramid: {height of the level in pixels: float32 (N,
    per_image, 49 * channels)}, from fine to coarse."""
    batches: list[dict[int, np.ndarray]] = []
    for start in range(0, len(images), 256):  # A pyramid is more than four times as large as its uint8 images.
        levels = laplacian_pyramid(as_seen(images[start : start + 256]))
        found = [patches(level, per_image=per_image, seed=start) for level in levels]
        batches.append({x.shape[1]: p.reshape(len(x), per_image, -1) for x, p in zip(levels, found, strict=True)})
    return {side: np.concatenate([batch[side] for batch in batches]) for side in batches[0]}


# Where a grid shows in a spectrum, as (vertical, horizontal) frequencies in quarters of a cycle per pixel: period 4 is
# frequency 1, period 2 is frequency 2. Negative ones are diagonals that fall the other way.
GRIDS = {2: ((2, 0), (0, 2), (2, 2)), 4: ((1, 0), (0, 1), (1, 1), (-1, 1), (1, 2), (2, 1))}


def grid_spectrum(images: np.ndarray) -> np.ndarray:
    """Power of images (N, height, width, channels) at the frequencies of GRIDS, in that order, and beside each: (N, 9,
    2), in squared grey levels. Height and width are multiples of 4. Below 16 pixels, too few frequencies lie beside
    those of GRIDS: then it is empty, (N, 0, 2).

    Transposed convolutions and upsampling leave grids whose period is their stride or twice that (Odena et al. 2016,
    doi:10.23915/distill.00003). In photographs, power changes smoothly with frequency, so a grid is a peak.
    """
    _, height, width, _ = images.shape
    if min(height, width) < 16:
        return np.zeros((len(images), 0, 2))
    # Tapers the borders, which would otherwise be an edge with power at all frequencies. A peak is then 3 bins wide, so
    # its neighbours are 2 and 3 bins away.
    window = np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)[..., np.newaxis]
    rows = []
    for part in map(as_seen, np.array_split(images, -(-images.size // 2**24))):
        centred = part - part.mean(axis=(1, 2), keepdims=True, dtype=np.float32)
        power = (np.abs(np.fft.fft2(centred * window, axes=(1, 2))) ** 2).mean(axis=-1)
        rows.append(np.stack([at_and_beside(power, y, x) for kind in GRIDS.values() for y, x in kind], axis=1))
    return np.concatenate(rows)


def at_and_beside(power: np.ndarray, y: int, x: int) -> np.ndarray:
    """The power (N, height, width) at a frequency in quarters of a cycle per pixel, and its mean beside it: (N, 2)."""
    _, height, width = power.shape
    row, column = y * height // 4, x * width // 4
    # Only along axes on which the grid has a frequency. Horizontal and vertical edges are common, and have much power
    # where the other frequency is 0.
    steps = (-3, -2, 2, 3)
    beside = [power[:, (row + step) % height, column] for step in steps if y]
    beside += [power[:, row, (column + step) % width] for step in steps if x]
    return np.stack([power[:, row, column], np.mean(beside, axis=0)], axis=1)


def grid_excess(real: np.ndarray, fake: np.ndarray) -> dict[int, float]:
    """How much more of a grid fakes have than real images, from the `grid_spectrum` of both: {period in pixels: ratio}.

    A ratio is the power at a grid's frequency over that beside it, divided by the same for real images: about 1 without
    a grid. Of several directions it is the largest. Empty for empty spectra.
    """
    if not real.shape[1]:
        return {}
    # The small constant is for images of one colour, which have no power at all.
    peaks = [(x[..., 0].mean(axis=0) + 1e-6) / (x[..., 1].mean(axis=0) + 1e-6) for x in (real, fake)]
    ratios = iter(peaks[1] / peaks[0])
    return {period: float(max(next(ratios) for _ in directions)) for period, directions in GRIDS.items()}


def copy_descriptors(images: np.ndarray) -> np.ndarray:
    """Descriptors that detect copies: 8x8 thumbnails without brightness and contrast, (N, 64 * channels), of length 1.

    They tolerate blur and a shift of two pixels in 64; network features do not. Distances between raw pixels would make
    pale or blurred images look close to everything.
    """
    values = thumbnails(images, 8)
    values -= values.mean(axis=1, keepdims=True)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6)


def nearest(known: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of `queries` (M, d), the distance to the nearest row of `known` (N, d) and the index of that row,
    (M,) each."""
    from sklearn.neighbors import NearestNeighbors

    distances, rows = NearestNeighbors(n_neighbors=1).fit(known).kneighbors(queries)
    return distances[:, 0], rows[:, 0]


def copying_ratio(fake: np.ndarray, new: np.ndarray) -> float:
    """The median distance from a fake to the nearest training image, divided by the same for new real images: about 1
    if the fakes are new images of the same kind, near 0 if they are copies (after Meehan et al. 2020, arXiv:2004.05675,
    who test the same comparison by ranks).

    `fake` (M,) and `new` (N,) are distances, from `nearest(training images, images)`, usually of `copy_descriptors`.
    `new` must come from images that were not trained on.
    """
    return float(np.median(fake) / np.median(new))
