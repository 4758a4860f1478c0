"""`Images`, which every loader returns, and the batches of a run that are drawn from them."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.config import Config

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class ImageDataset:
    """What a run learns from."""

    name: str  # the data set's
    # uint8 (N, height, width, channels); may be memory-mapped and larger than memory. Take rows: images[:] is all.
    images: "np.ndarray | LazyImages"
    labels: np.ndarray | None  # integers (N,), positions in label_names; None where there are none
    source: str  # where they came from, for a person to read
    label_names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()  # of a folder: each file that was left out, with the reason
    sha256: str = ""  # what stands for the pixels, where the loader knows it

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the pixels, by which a resumed run knows that its data is still the same."""
        return self.sha256 or hashlib.sha256(np.ascontiguousarray(self.images)).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return self.images.shape[1:]

    def choose(self, names: tuple[str, ...]) -> "ImageDataset":
        """Only the images with these labels. Raises InputError where there is no such label."""
        if self.labels is None:
            raise InputError(f"{self.name} has no labels to choose by: leave --label out.")
        unknown = [name for name in names if name not in self.label_names]
        if unknown:
            raise InputError(f"{self.name} has no label {unknown[0]!r}; its labels are {', '.join(self.label_names)}.")
        chosen = np.isin(self.labels, [self.label_names.index(name) for name in names])
        return dataclasses.replace(self, images=self.images[chosen], labels=self.labels[chosen], sha256="")


class LazyImages:
    """Like a uint8 array of images, `shape` (N, height, width, channels), each of which `make(rows)` makes when rows
    are first taken: a run starts at once, and memory holds no more than it has seen."""

    dtype = np.dtype(np.uint8)

    def __init__(self, shape: tuple[int, int, int, int], make: Callable[[np.ndarray], np.ndarray]):
        self.shape, self.make = shape, make
        self.pixels, self.made = np.zeros(shape, self.dtype), np.zeros(len(self), bool)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        """`rows` as NumPy has it: a slice, or whole numbers (n,)."""
        asked = np.unique(np.arange(len(self))[rows])
        missing = asked[~self.made[asked]]
        if len(missing):
            self.pixels[missing] = self.make(missing)
            self.made[missing] = True
        return self.pixels[rows]


def train_holdout_split(images: ImageDataset, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """The rows of `images` to train on and those that `held_out` keeps from it, both sorted: the same for every seed,
    so that runs can be compared. None are held out where they would be too few to say anything."""
    count = min(256, round(config.held_out * len(images)))
    count = count if count >= 16 else 0
    order = np.random.default_rng(0).permutation(len(images))
    return np.sort(order[count:]), np.sort(order[:count])


def steps_per_epoch(images: ImageDataset, config: Config) -> int:
    """How many train steps make an epoch."""
    return config.steps_per_epoch or len(train_holdout_split(images, config)[0]) // (config.batch_size * config.d_steps)


def batches(images: ImageDataset, config: Config, start: int = 0) -> "tf.data.Dataset":
    """The endless batches of a run, from step `start` on: uint8 (d_steps * batch_size, height, width, channels).

    Each pass is a new order of all images but those held out, drawn from (seed, pass), of which an incomplete last
    batch is left out. So the batch of a step is the same whether the run came there in one go or was resumed.
    """
    import tensorflow as tf

    size = config.batch_size * config.d_steps
    rows, _ = train_holdout_split(images, config)
    steps_per_pass = len(rows) // size

    def one_pass(number):
        # Below zero, where no step's noise takes its seed from.
        seed = tf.stack([tf.constant(config.seed, tf.int64), -1 - number])
        order = tf.random.experimental.stateless_shuffle(tf.constant(rows), seed)
        return tf.data.Dataset.from_tensor_slices(order).batch(size, drop_remainder=True)

    first, done = divmod(start, steps_per_pass)
    order = tf.data.Dataset.range(first, tf.int64.max).flat_map(one_pass).skip(done)

    def gather(chosen):
        # By NumPy, as TensorFlow would have to hold all of a memory-mapped file in memory.
        pixels = tf.numpy_function(lambda rows: images.images[rows], [chosen], tf.uint8)
        return tf.ensure_shape(pixels, (size, *images.shape))

    return order.map(gather).prefetch(2)
