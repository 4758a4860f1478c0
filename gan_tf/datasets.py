"""A data set's name -> `Images`, and `Images` -> the batches of a run."""

import dataclasses
import difflib
import functools
import hashlib
import os
import socket
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gan_tf.config import Config, InputError

if TYPE_CHECKING:
    import tensorflow as tf

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


class Unavailable(InputError):
    """The data set exists, but could be had neither from this disk nor from the network."""


@dataclasses.dataclass(frozen=True)
class Images:
    """What a run learns from."""

    name: str  # the data set's
    images: np.ndarray  # uint8 (N, height, width, channels)
    labels: np.ndarray | None  # uint8 (N,), or None where there are none
    source: str  # where they came from, for a person to read

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        return self.images.shape[1:]

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the pixels, by which a resumed run knows that its data is still the same."""
        return hashlib.sha256(np.ascontiguousarray(self.images)).hexdigest()


def load(config: Config) -> Images:
    """The images that `config` asks for; of labelled digits, those of `config.digit`.

    Raises InputError where that cannot be, and Unavailable where only a download failed.
    """
    if config.dataset not in LOADERS:
        near = difflib.get_close_matches(config.dataset.lower(), LOADERS, n=1, cutoff=0.0)[0]
        raise InputError(
            f"There is no data set {config.dataset!r}; there are {', '.join(LOADERS)} (did you mean {near}?)."
        )
    found = LOADERS[config.dataset](config)
    if config.digit:
        if found.labels is None:
            raise InputError(f"The data set {found.name} has no labels to choose by: leave --digit out.")
        chosen = np.isin(found.labels, config.digit)
        found = dataclasses.replace(found, images=found.images[chosen], labels=found.labels[chosen])
    needed = config.batch_size * config.d_steps
    if len(found) < needed:
        raise InputError(
            f"{found.name} has {len(found)} such images, fewer than the {needed} that one step draws (--batch-size "
            f"{config.batch_size} times --d-steps {config.d_steps}); use a --batch-size of at most "
            f"{len(found) // config.d_steps}."
        )
    return found


def load_digits(config: Config) -> Images:
    """The 1,797 digits of 8x8 pixels inside scikit-learn, brought to MNIST's size and place."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.zeros((len(digits.images), 28, 28, 1), np.uint8)
    for image, small in zip(images, digits.images, strict=True):
        # As MNIST has it, a digit fills 20x20 pixels in the middle. Its 17 grey levels become 256.
        large = Image.fromarray((small * (255 / 16)).astype(np.uint8)).resize((20, 20), Image.Resampling.BICUBIC)
        image[4:24, 4:24, 0] = np.asarray(large)
    return Images("digits", images, digits.target.astype(np.uint8), "scikit-learn, 8x8 enlarged to 28x28")


def load_mnist(config: Config) -> Images:
    """MNIST's 60,000 training images, from --data-dir, Keras's cache, or a download into that cache."""
    local = data_dir(config) / "mnist.npz"
    try:
        path = local if local.exists() else cached_mnist()
    except Unavailable as error:
        raise Unavailable(f"There is no {local}, and {error}") from error
    images, labels = read_mnist(path)
    return Images("mnist", images[..., np.newaxis], labels, str(path))


def data_dir(config: Config) -> Path:
    """Where a person's own data files are looked for."""
    return Path(config.data_dir or os.environ.get("GAN_TF_DATA") or "data")


def cached_mnist() -> Path:
    """The path of mnist.npz in Keras's cache, where it is put if it is not there. Raises Unavailable."""
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    path = folder / "mnist.npz"
    try:
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == MNIST_SHA256:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            os.replace(download(MNIST_URL, MNIST_SHA256, Path(beside)), path)
    except Exception as error:  # urllib, ssl, sockets, the disk, the hash: Keras passes on all that there is.
        raise Unavailable(f"MNIST could not be downloaded from {MNIST_URL} ({error}).") from error
    return path


def download(url: str, sha256: str, folder: Path) -> str:
    """Fetch one file into `folder` with Keras's progress bar. Raises whatever goes wrong."""
    import keras

    name, before = url.rsplit("/", 1)[-1], socket.getdefaulttimeout()
    socket.setdefaulttimeout(20)  # Seconds. Keras sets none: a network that swallows packets would hold us forever.
    try:
        return keras.utils.get_file(name, url, file_hash=sha256, cache_dir=str(folder), cache_subdir="")
    finally:
        socket.setdefaulttimeout(before)


def read_mnist(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), uint8, from an mnist.npz of anyone's, with no trust in it."""
    try:
        with zipfile.ZipFile(path) as members:  # Checks that it is one, where np.load takes anything else for a pickle.
            keys = [name.removesuffix(".npy") for name in members.namelist()]
        if not {"x_train", "y_train"} <= set(keys):
            raise InputError(
                f"{path} has the keys {', '.join(keys) or '(none)'}, but MNIST's images and labels are under x_train "
                "and y_train; remove it to have the published file downloaded."
            )
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = np.asarray(arrays["x_train"]), np.asarray(arrays["y_train"])
    except InputError:
        raise
    except Exception as error:  # NumPy, zipfile and zlib each have their own for a file that they cannot read.
        pickled = "Object arrays" in str(error)
        why = "it holds pickled objects, which are never opened" if pickled else f"it is damaged ({error})"
        raise InputError(f"{path} cannot be used: {why}; remove it to have the published file downloaded.") from error
    good = (
        images.ndim == 3
        and images.shape[1:] == (28, 28)
        and images.dtype == np.uint8
        and labels.shape == images.shape[:1]
        and labels.dtype == np.uint8
        and (labels <= 9).all()
    )
    if not good:
        raise InputError(
            f"{path} holds x_train {images.dtype}{images.shape} and y_train {labels.dtype}{labels.shape}, but MNIST "
            "is uint8 (N, 28, 28) and uint8 (N,) with labels 0 to 9; remove it to have the published file downloaded."
        )
    return images, labels


LOADERS = {"digits": load_digits, "mnist": load_mnist}


def steps_per_epoch(images: Images, config: Config) -> int:
    """How many train steps make an epoch."""
    return config.steps_per_epoch or len(images) // (config.batch_size * config.d_steps)


def batches(images: Images, config: Config, start: int = 0) -> "tf.data.Dataset":
    """The endless batches of a run, from step `start` on: uint8 (d_steps * batch_size, height, width, channels).

    Each pass is a new order of all images, drawn from (seed, pass), of which an incomplete last batch is left
    out. So the batch of a step is the same whether the run came there in one go or was resumed.
    """
    import tensorflow as tf

    size = config.batch_size * config.d_steps
    steps_per_pass = len(images) // size
    pixels = tf.constant(images.images)

    def one_pass(number):
        # Below zero, where no step's noise takes its seed from.
        seed = tf.stack([tf.constant(config.seed, tf.int64), -1 - number])
        order = tf.random.experimental.stateless_shuffle(tf.range(len(images)), seed)
        return tf.data.Dataset.from_tensor_slices(order).batch(size, drop_remainder=True)

    first, done = divmod(start, steps_per_pass)
    order = tf.data.Dataset.range(first, tf.int64.max).flat_map(one_pass).skip(done)
    return order.map(lambda chosen: tf.gather(pixels, chosen)).prefetch(2)
