"""Distances as Keras metrics, for the validation of a GAN while it trains:

    gan.compile(g_optimizer, d_optimizer, metrics=[FrechetDistance()])
    gan.fit(images, validation_data=other_images)        # logs val_frechet_distance

`update_state(real, fake)` takes batches of float images (N, height, width, channels) in [-1, 1]. Both metrics work in
graph mode. `features` maps such images to (N, d): a Keras model, any callable that TensorFlow can trace, or a
`measure.features.Features`. Without it, they use 8x8 thumbnails, which need no training and show layout and colours,
but no detail.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from gan_tf.measure.features import Features

Extractor = Callable[[Any], Any]


def thumbnails(images: tf.Tensor, size: int = 8) -> tf.Tensor:
    """Shrink images (N, height, width, channels) to (N, size * size * channels), averaging over areas."""
    small = tf.image.resize(images, (size, size), method="area")
    return tf.reshape(small, (-1, size * size * images.shape[-1]))


class FeatureMetric(keras.metrics.Metric):
    """A metric of two sets of images, by their features."""

    def __init__(self, features: Features | Extractor | None, name: str):
        super().__init__(name=name)
        self.extract = features.embed if isinstance(features, Features) else features or thumbnails

    def embed(self, images: tf.Tensor) -> tf.Tensor:
        """Features (N, d) in double precision."""
        # Moments are sums over thousands of images; single precision would lose the small differences between them.
        return tf.cast(self.extract(tf.convert_to_tensor(images)), tf.float64)


class FrechetDistance(FeatureMetric):
    """`metrics.frechet_distance` of all images since the last reset, from streaming moments.

    It is biased upwards by about c/N for N images: compare values only for equally many.
    """

    def __init__(self, features: Features | Extractor | None = None, name: str = "frechet_distance"):
        super().__init__(features, name)
        self.moments: list[tuple[keras.Variable, keras.Variable, keras.Variable]] = []

    def update_state(self, real: tf.Tensor, fake: tf.Tensor) -> None:
        found = self.embed(real), self.embed(fake)
        if not self.moments:  # Only now the number of features is known.
            size = found[0].shape[-1]
            shapes = {"count": (), "sum": (size,), "products": (size, size)}
            for kind in ("real", "fake"):
                made = [
                    self.add_variable(shape, "zeros", "float64", name=f"{kind}_{of}") for of, shape in shapes.items()
                ]
                self.moments.append((made[0], made[1], made[2]))
        for x, (count, total, products) in zip(found, self.moments, strict=True):
            count.assign_add(tf.cast(tf.shape(x)[0], tf.float64))
            total.assign_add(tf.reduce_sum(x, axis=0))
            products.assign_add(tf.matmul(x, x, transpose_a=True))

    def result(self) -> tf.Tensor:
        if not self.moments:
            return tf.zeros(())
        (mean_real, real), (mean_fake, fake) = (self.gaussian(*moments) for moments in self.moments)
        # tr((AB)^(1/2)) is the sum of the roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric.
        values, vectors = tf.linalg.eigh(real)
        root = (vectors * tf.sqrt(tf.maximum(values, 0))) @ tf.transpose(vectors)
        roots = tf.sqrt(tf.maximum(tf.linalg.eigvalsh(root @ fake @ root), 0))
        between_means = tf.reduce_sum((mean_real - mean_fake) ** 2)
        distance = between_means + tf.linalg.trace(real) + tf.linalg.trace(fake) - 2 * tf.reduce_sum(roots)
        return tf.cast(distance, tf.float32)

    @staticmethod
    def gaussian(count, total, products) -> tuple[tf.Tensor, tf.Tensor]:
        """The mean (d,) and the covariance (d, d) of the images so far; zeros before the first two."""
        mean = total / tf.maximum(count, 1)
        return mean, (products - count * tf.tensordot(mean, mean, axes=0)) / tf.maximum(count - 1, 1)


class KernelDistance(FeatureMetric):
    """The mean of `metrics.kernel_distance` over the batches since the last reset, weighted by their sizes. It is
    unbiased, whatever the batch size. Batches of one image are ignored."""

    def __init__(self, features: Features | Extractor | None = None, name: str = "kernel_distance"):
        super().__init__(features, name)
        self.total = self.add_variable((), "zeros", "float64", name="total")
        self.weight = self.add_variable((), "zeros", "float64", name="weight")

    def update_state(self, real: tf.Tensor, fake: tf.Tensor) -> None:
        x, y = self.embed(real), self.embed(fake)
        n, m = (tf.cast(tf.shape(a)[0], tf.float64) for a in (x, y))

        def kernel(a, b):
            return (tf.matmul(a, b, transpose_b=True) / a.shape[-1] + 1) ** 3

        def within(a, count):
            values = kernel(a, a)
            return (tf.reduce_sum(values) - tf.linalg.trace(values)) / tf.maximum(count * (count - 1), 1)

        distance = within(x, n) + within(y, m) - 2 * tf.reduce_mean(kernel(x, y))
        smaller = tf.minimum(n, m)
        weight = tf.where(smaller > 1, smaller, 0)
        self.total.assign_add(weight * distance)
        self.weight.assign_add(weight)

    def result(self) -> tf.Tensor:
        return tf.cast(self.total / tf.maximum(self.weight, 1), tf.float32)
