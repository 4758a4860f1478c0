"""Read the grey data sets: 28x28 images with labels, from scikit-learn, .npz, idx or parquet files."""

import dataclasses
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gan_tf.common.errors import InputError
from gan_tf.config import Config
from gan_tf.data.images import ImageDataset
from gan_tf.data.sources import import_client, message, pictures_in_parquet

USED = ("x_train", "y_train")  # Of an .npz file.
MOST_BYTES = 2**29  # Of a set's unpacked images: 680,000 of 28x28, five times as many as the largest set here has.

# Takes the paths of a data set's files. Returns images (N, 28, 28) and labels (N,), both uint8.
Reader = Callable[..., tuple[np.ndarray, np.ndarray]]


def load_grey(name: str, label_names: tuple[str, ...], paths: list[Path], read: Reader, config: Config) -> ImageDataset:
    """The images that `read` finds in the files, filtered by config.label and resized to config.image_size.

    Returns images of shape (N, height, width, 1). Raises InputError for labels beyond `label_names`.
    """
    images, labels = read(*paths)
    last = len(label_names) - 1
    if (labels > last).any():
        raise InputError(f"{paths[0]} has labels up to {labels.max()}, but those of {name} are 0 to {last}.")
    source = ", ".join(map(str, paths)) or "inside scikit-learn"
    dataset = ImageDataset(name, images[..., np.newaxis], labels, source, label_names)
    if config.label:
        dataset = dataset.filter_labels(config.label)
    if config.image_size != 28:
        dataset = dataclasses.replace(dataset, images=resize(dataset.images[:], config))
    return dataset


def resize(images: np.ndarray, config: Config) -> np.ndarray:
    """Resize images, uint8 (N, 28, 28, 1), to config.image_size, as config.fit and config.background say."""
    from PIL import Image

    from gan_tf.data.decoding import fit_picture

    resized = np.empty((len(images), *config.sides, 1), np.uint8)
    for target, image in zip(resized, images, strict=True):
        target[..., 0] = np.asarray(fit_picture(Image.fromarray(image[..., 0]), config))
    return resized


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """The 1,797 digits of 8x8 pixels inside scikit-learn, enlarged and centred like MNIST's."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = np.zeros((len(digits.images), 28, 28), np.uint8)
    for image, small in zip(images, digits.images, strict=True):
        # In MNIST, a digit fills the central 20x20 pixels. The 17 grey levels, 0 to 16, become 0 to 255.
        large = Image.fromarray((small * (255 / 16)).astype(np.uint8)).resize((20, 20), Image.Resampling.BICUBIC)
        image[4:24, 4:24] = np.asarray(large)
    return images, digits.target.astype(np.uint8)


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), uint8, under x_train and y_train of an untrusted .npz file.

    Raises InputError, which names the file, unless it has exactly these keys, shapes and types. Pickles stay closed.
    """
    again = f"remove it to download the published {path.stem}"
    try:
        with zipfile.ZipFile(path) as members:  # np.load would take a file that is no archive for a pickle.
            keys = [name.removesuffix(".npy") for name in members.namelist()]
            # zipfile unpacks no more of a member than its file_size.
            size = sum(info.file_size for key, info in zip(keys, members.infolist(), strict=True) if key in USED)
        if size > MOST_BYTES:
            raise InputError(
                f"{path} unpacks to {size / 1e9:,.1f} GB, more than the {MOST_BYTES / 1e9:.1f} GB allowed."
            )
        if not {*USED} <= {*keys}:
            raise InputError(
                f"{path} has the keys {', '.join(keys) or '(none)'}, but images and labels must be under x_train and "
                f"y_train; {again}."
            )
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = np.asarray(arrays["x_train"]), np.asarray(arrays["y_train"])
    except InputError:
        raise
    except Exception as error:  # NumPy, zipfile and zlib each raise their own types for a damaged file.
        pickled = "Object arrays" in str(error)
        why = "it holds pickled objects, which are never opened" if pickled else f"it is damaged ({error})"
        raise InputError(f"{path} cannot be used: {why}; {again}.") from error
    shapes_match = images.ndim == 3 and images.shape[1:] == (28, 28) and labels.shape == images.shape[:1]
    if not (shapes_match and images.dtype == labels.dtype == np.uint8):
        raise InputError(
            f"{path} holds x_train {images.dtype}{images.shape} and y_train {labels.dtype}{labels.shape}, but they "
            f"must be uint8 (N, 28, 28) and uint8 (N,); {again}."
        )
    return images, labels


def read_idx(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) and labels (N,), uint8, from gzipped idx files whose hashes have been checked. Raises
    InputError if they are damaged all the same."""
    try:
        with gzip.open(images) as x, gzip.open(labels) as y:  # Their headers have 16 and 8 bytes.
            found = np.frombuffer(x.read(MOST_BYTES), np.uint8, offset=16).reshape(-1, 28, 28)
            return checked(found, np.frombuffer(y.read(MOST_BYTES), np.uint8, offset=8))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{images} or {labels.name} is damaged ({error}); remove both to download them again."
        ) from error


def checked(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both unchanged. Raises ValueError unless they are (N, 28, 28) and (N,)."""
    if images.shape != (len(labels), 28, 28):
        raise ValueError(f"it holds images {images.shape} and labels {labels.shape}")
    return images, labels


def read_letters(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28), upright, and labels (N,), 0 for A, uint8, from a parquet file whose hash has been checked.
    Raises InputError if it is damaged all the same."""
    from PIL import Image

    parquet = import_client("pyarrow.parquet")
    try:
        pictures = [np.asarray(Image.open(io.BytesIO(picture))) for picture in pictures_in_parquet(path)]
        labels = parquet.read_table(path, columns=["label"])["label"].to_numpy().astype(np.uint8)
        # EMNIST stores its images column by column, so each one appears transposed.
        return checked(np.stack(pictures).swapaxes(1, 2), labels)
    except Exception as error:  # pyarrow and Pillow each raise their own types.
        raise InputError(f"{path} is damaged ({message(error)}); remove it to download it again.") from error
