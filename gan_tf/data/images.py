"""`ImageDataset`, which every loader returns, its training rows, and the batches that a run draws from them."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.config import Config

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Classes:
    """What a conditional GAN is told about a data set."""

    names: tuple[str, ...]
    labels: np.ndarray  # integers (N,), indices into names

    @property
    def shares(self) -> np.ndarray:
        """How frequent each class is, (classes,); they add up to 1."""
        return np.bincount(self.labels, minlength=len(self.names)) / len(self.labels)


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """Images with their labels and origin."""

    name: str
    # uint8 (N, height, width, channels) in [0, 255], with 1 channel, 3, or 4: RGB and opacity. May be memory-mapped and
    # larger than memory: index a few rows at a time, as images[:] reads all of them.
    images: "np.ndarray | LazyImages"
    labels: np.ndarray | None  # integers (N,), indices into label_names; None if the images have no labels
    source: str  # where they came from, for a person to read
    label_names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()  # "file: reason" for each file of a folder that was not used
    sha256: str = ""  # a hash that identifies the pixels, if the loader knows one
    clusters: np.ndarray | None = None  # integers (N,), see data/clusters.py; what a GAN is told instead of the labels

    @functools.cached_property
    def fingerprint(self) -> str:
        """A SHA-256 that identifies the pixels. A resumed run compares it to verify that its data is unchanged."""
        return self.sha256 or hashlib.sha256(np.ascontiguousarray(self.images[:]).data).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    @functools.cached_property
    def classes(self) -> "Classes":
        """What a conditional GAN is told of the images: their clusters if there are some, otherwise the labels that
        they have, renumbered without gaps. Raises InputError for fewer than two."""
        if self.clusters is not None:
            used, clusters = np.unique(self.clusters, return_inverse=True)
            return Classes(tuple(str(number + 1) for number in range(len(used))), clusters)
        used = np.unique(self.labels) if self.labels is not None else np.array([])
        if len(used) < 2:
            has = f"has one label only, {self.label_names[used[0]]}" if len(used) else "has no labels"
            raise InputError(
                f"{self.name} {has}, so there is nothing to tell a conditional GAN: use --no-conditional, or learn "
                "images with at least two labels (in a folder of your own, two subfolders), or try --clusters 10."
            )
        return Classes(tuple(self.label_names[i] for i in used), np.searchsorted(used, np.asarray(self.labels)))

    def filter_labels(self, names: tuple[str, ...]) -> "ImageDataset":
        """The images with one of these labels, in the same order; label_names stays. Raises InputError for an unknown
        label."""
        rows = rows_with_labels(self.name, self.labels, self.label_names, names)
        return dataclasses.replace(self, images=self.images[rows], labels=np.asarray(self.labels)[rows], sha256="")


def rows_with_labels(
    dataset: str, labels: np.ndarray | None, label_names: tuple[str, ...], wanted: tuple[str, ...]
) -> np.ndarray:
    """The sorted indices (n,) at which `labels`, integers (N,), is one of the `wanted` names.

    Raises InputError, with the name of the data set, if it has no labels or not all of those.
    """
    if labels is None:
        raise InputError(f"{dataset} has no labels: leave --label out.")
    unknown = [name for name in wanted if name not in label_names]
    if unknown:
        raise InputError(f"{dataset} has no label {unknown[0]!r}; its labels are {', '.join(label_names)}.")
    return np.flatnonzero(np.isin(labels, [label_names.index(name) for name in wanted]))


class LazyImages:
    """An array of images, uint8 `shape` (N, height, width, channels), whose rows are computed on first access.

    `render` maps indices (n,) to images (n, height, width, channels). So a run starts at once, and only the images
    that it has used take time. Rendered rows are memoised.
    """

    dtype = np.dtype(np.uint8)
    AT_ONCE = 256  # Rows to render at a time, so that no second copy of all images is in memory.

    def __init__(self, shape: tuple[int, int, int, int], render: Callable[[np.ndarray], np.ndarray]):
        self.shape, self.render = shape, render
        # The operating system allocates the zeros only when they are written to.
        self.pixels, self.rendered = np.zeros(shape, self.dtype), np.zeros(len(self), bool)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: "slice | np.ndarray") -> np.ndarray:
        """Index like a NumPy array, with a slice, integers (n,) or a boolean mask (N,)."""
        wanted = np.unique(np.arange(len(self))[rows])
        missing = wanted[~self.rendered[wanted]]
        for start in range(0, len(missing), self.AT_ONCE):
            part = missing[start : start + self.AT_ONCE]
            self.pixels[part] = self.render(part)
            self.rendered[part] = True
        return self.pixels[rows]


def train_holdout_split(images: ImageDataset, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """The sorted indices of the training images and of the held-out images.

    config.held_out of the images are held out, 256 at most, and none if they would be fewer than 16, which are too few
    to measure anything. The split does not depend on config.seed, so that runs can be compared.
    """
    count = min(256, round(config.held_out * len(images)))
    count = count if count >= 16 else 0
    order = np.random.default_rng(0).permutation(len(images))
    return np.sort(order[count:]), np.sort(order[:count])


def class_shares(images: ImageDataset, config: Config) -> np.ndarray:
    """How frequent each class is that `config` tells a GAN about, (classes,); empty if it tells of none."""
    return images.classes.shares if config.told else np.zeros(0)


def steps_per_epoch(images: ImageDataset, config: Config) -> int:
    """Training steps in an epoch: config.steps_per_epoch or, if that is 0, one pass over the training images."""
    return config.steps_per_epoch or len(train_holdout_split(images, config)[0]) // (config.batch_size * config.d_steps)


def batches(
    images: ImageDataset, config: Config, start: int = 0, replicas: int = 1, own: Sequence[int] = (0,)
) -> "tf.data.Dataset":
    """The endless batches of a run from step `start` on: uint8 (d_steps * batch_size, height, width, channels). With
    config.told, each is a pair of these and their classes, int64 (d_steps * batch_size,).

    Each pass shuffles the training images with (seed, pass) and drops an incomplete last batch. The batch of a step
    therefore depends on seed and step only, and a resumed run gets the same batches as one that never stopped.

    With `replicas`, each batch is split into so many parts, and the dataset holds those of the replicas `own`, one
    after the other, step by step: (d_steps * batch_size / replicas, ...).
    """
    import tensorflow as tf

    labels = tf.constant(images.classes.labels, tf.int64) if config.told else None

    def gather(rows: tf.Tensor):
        # With NumPy, because tf.gather would load a memory-mapped file into memory.
        pixels = tf.numpy_function(lambda rows: images.images[rows], [rows], tf.uint8)
        pixels = tf.ensure_shape(pixels, (*rows.shape, *images.shape))
        return (pixels, tf.gather(labels, rows)) if config.told else pixels

    return batch_rows(images, config, start, replicas, own).map(gather).prefetch(2)


def batch_rows(
    images: ImageDataset, config: Config, start: int = 0, replicas: int = 1, own: Sequence[int] = (0,)
) -> "tf.data.Dataset":
    """Which images the `batches` hold: their indices, int64 (d_steps * batch_size / replicas,)."""
    import tensorflow as tf

    size = config.batch_size * config.d_steps
    rows, _ = train_holdout_split(images, config)
    steps_per_pass = len(rows) // size

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        # Negative, so shuffling never shares a seed with the latents.
        seed = tf.stack([tf.constant(config.seed, tf.int64), -1 - number])
        order = tf.random.experimental.stateless_shuffle(tf.constant(rows), seed)
        return tf.data.Dataset.from_tensor_slices(order).batch(size, drop_remainder=True)

    first_pass, steps_done = divmod(start, steps_per_pass)
    indices = tf.data.Dataset.range(first_pass, tf.int64.max).flat_map(one_pass).skip(steps_done)

    if replicas > 1:
        # A replica needs its part of each of the d_steps updates.
        shape = (config.d_steps, replicas, config.batch_size // replicas)
        parts = indices.map(lambda batch: tf.reshape(tf.transpose(tf.reshape(batch, shape), (1, 0, 2)), (replicas, -1)))
        indices = parts.map(lambda batch: tf.gather(batch, [*own])).unbatch()
    return indices


def on_device(images: ImageDataset, config: Config) -> Callable:
    """Copies all images to the present device. Returns what turns the `batch_rows` of a step into its batch, there and
    to the bit as in `batches`."""
    import tensorflow as tf

    # A variable, because TensorFlow has no kernel that picks bytes out of a constant on a GPU: it would copy the whole
    # set to the CPU in every step.
    pixels = tf.Variable(images.images[:], trainable=False, name="images")
    labels = tf.constant(images.classes.labels, tf.int64) if config.told else None

    def gather(rows: tf.Tensor):
        return (tf.gather(pixels, rows), tf.gather(labels, rows)) if config.told else tf.gather(pixels, rows)

    return gather
