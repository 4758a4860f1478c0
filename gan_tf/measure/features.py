"""What images are compared by: the numbers that a small network makes of them, which works without a download.

For a data set with labels it is a classifier of them, else a network that tells how an image was turned, for which it
has to know what the images show. It is trained on the data set, the same for the same images, and kept in Keras's
cache. A Frechet distance in these features is none in Inception's: never compare the two, and never call it FID.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from gan_tf.common.errors import InputError
from gan_tf.common.files import atomic_write, cache_folder
from gan_tf.config import Config
from gan_tf.data import creatures
from gan_tf.data.images import ImageDataset

SIZE = 64  # Numbers that a network makes of an image.
STEPS, BATCH = 1000, 64
HUES = 24  # Parts of the circle of hues that creatures are counted in.
FORMAT = 1  # Of the cached networks; one more whenever they would be trained otherwise.


@dataclasses.dataclass(frozen=True)
class Features:
    """Images, uint8 (N, height, width, channels) -> features (N, size), by calling it."""

    name: str  # what they are, for people to read
    size: int
    network: keras.Model  # images -> {"features": (N, size), each output's name: logits}
    right: dict[str, float]  # of each output, the share of held-out images that the network was right about
    mirrored: bool = False  # whether to take the mean over an image and its mirror image

    def __call__(self, images: np.ndarray) -> np.ndarray:
        views = (images, images[:, :, ::-1]) if self.mirrored else (images,)
        return sum(predict(self.network, view)["features"] for view in views) / len(views)

    def read(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What the network takes each image for, (N,) whole numbers for each of its outputs."""
        found = predict(self.network, images)
        return {name: found[name].argmax(axis=1) for name in self.right}


def predict(network: keras.Model, images: np.ndarray) -> dict[str, np.ndarray]:
    return network.predict(images, batch_size=256, verbose=0)


def dataset_features(images: ImageDataset, config: Config) -> Features:
    """Those of the whole data set that `images` are of, whatever labels `config` chose."""
    from gan_tf.data.registry import load

    return make_features(load(dataclasses.replace(config, label=())) if config.label else images)


def make_features(images: ImageDataset, folder: Path | None = None) -> Features:
    """Those of a data set: `images` are all of it, every label. Kept in `folder`, by default in Keras's cache."""
    folder = folder or cache_folder() / "gan_tf"
    if images.name == "creatures":
        return creature_reader(images.shape[0], folder)
    counts = np.bincount(images.labels) if images.labels is not None else np.array([])
    if len(counts) > 1 and counts.min() >= 10:
        return classifier(images, folder)
    return rotation_network(images, folder)


def classifier(images: ImageDataset, folder: Path) -> Features:
    """Tells the labels of `images`; a tenth of them, 2,000 at most, is held out."""
    held_out, seen = split(len(images))

    def make_batch(random):
        rows = random.choice(seen, BATCH)
        return moved(images.images[rows], random, mirror=False), {"label": images.labels[rows]}

    outputs = {"label": len(images.label_names)}
    network = trained(folder, f"classifier-{images.fingerprint[:16]}", images.shape, outputs, make_batch)
    guesses = predict(network, images.images[held_out])["label"].argmax(axis=1)
    right = {"label": float(np.mean(guesses == images.labels[held_out]))}
    return Features(f"a classifier of {images.name}, right about {right['label']:.1%}", SIZE, network, right)


def rotation_network(images: ImageDataset, folder: Path) -> Features:
    """Tells by which of 0, 90, 180 and 270 degrees an image was turned (Gidaris et al. 2018, arXiv:1803.07728); it
    needs no labels. As it learned from images and their mirror images, the mean over both is taken, so that it does
    not count here which way they face."""
    held_out, seen = split(len(images))

    def make_batch(random):
        return turned(images.images[random.choice(seen, BATCH)], random)

    network = trained(folder, f"rotation-{images.fingerprint[:16]}", images.shape, {"rotation": 4}, make_batch)
    views = [np.rot90(images.images[held_out], turns, axes=(1, 2)) for turns in range(4)]
    guesses = predict(network, np.concatenate(views))["rotation"].argmax(axis=1)
    right = {"rotation": float(np.mean(guesses == np.repeat(range(4), len(held_out))))}
    name = f"a network that tells how {images.name} were turned, right about {right['rotation']:.1%}"
    return Features(name, SIZE, network, right, mirrored=True)


def creature_reader(size: int, folder: Path, count: int = 8000) -> Features:
    """Tells the species, the hue, in HUES parts of its circle, the turn and the tilt, in three parts each, of creatures
    of `size` pixels. They are drawn for it: those of the data set, of seed 0, it never saw."""
    known = creatures.parameters(count + 1000, seed=1)
    true = creature_classes(known)
    drawn = creatures.draw(known[count:], size)
    seen = functools.cache(lambda: creatures.draw(known[:count], size))  # Where the network is there already, never.

    def make_batch(random):
        rows = random.integers(count, size=BATCH)
        return seen()[rows], {name: values[rows] for name, values in true.items()}

    outputs = {"species": len(creatures.SPECIES), "hue": HUES, "turn": 3, "tilt": 3}
    network = trained(folder, f"creatures-{size}", drawn.shape[1:], outputs, make_batch)
    found = predict(network, drawn)
    right = {name: float(np.mean(found[name].argmax(axis=1) == true[name][count:])) for name in outputs}
    name = (
        f"a network that reads creatures, right about {right['species']:.1%} of species and {right['hue']:.1%} of hues"
    )
    return Features(name, SIZE, network, right)


def creature_classes(known: np.ndarray) -> dict[str, np.ndarray]:
    """The classes that creatures with these parameters are counted in, (N,) whole numbers each."""
    thirds = {name: np.digitize(known[name] / limit, [-1 / 3, 1 / 3]) for name, limit in (("turn", 1), ("tilt", 20))}
    return {"species": known["species"].astype(int), "hue": (known["hue"] * HUES).astype(int), **thirds}


def inception(images: ImageDataset) -> Features:
    """InceptionV3's, trained on ImageNet, by Keras: 2,048. Its weights are a download of 92 MB. The images are resized
    to 299 pixels as TensorFlow does it, which is not how others do: compare with your own numbers only (Parmar et al.
    2022, arXiv:2104.11222). Raises InputError where it cannot be had."""
    try:
        network = keras.applications.InceptionV3(include_top=False, pooling="avg")
    except Exception as error:  # Keras raises what its downloader does, by the version.
        raise InputError(f"--features inception needs a download that failed ({error}); leave it out.") from error
    pixels = keras.Input(images.shape)
    x = layers.Rescaling(1 / 127.5, -1)(layers.Resizing(299, 299)(pixels))
    if images.shape[-1] == 1:
        x = layers.Concatenate()([x, x, x])
    return Features(
        "InceptionV3 of Keras, trained on ImageNet", 2048, keras.Model(pixels, {"features": network(x)}), {}
    )


def split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows for telling how good a network is, a tenth but 2,000 at most, and rows to train it on."""
    rows = np.random.default_rng(0).permutation(count)
    held_out = min(count // 10 or 1, 2000)
    return rows[:held_out], rows[held_out:]


def trained(folder: Path, name: str, image_shape: tuple[int, int, int], outputs: dict[str, int], make_batch: Callable):
    """The network of that name in `folder`, or a new one, trained with `make_batch(random)` -> images, {output: labels}
    and saved there, whole or not at all."""
    path = folder / f"features-{FORMAT}-{name}.keras"
    with contextlib.suppress(OSError, ValueError):  # Not there, or of a Keras that this one cannot read.
        return keras.models.load_model(path, compile=False)
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    network = convolutions(image_shape, outputs)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, STEPS))
    optimizer.build(network.trainable_variables)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            loss = sum(entropy(labels[name], logits[name]) for name in labels)
        weights = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    def draw_batches():
        while True:
            images, labels = make_batch(random)
            yield images.astype(np.float32), {name: values.astype(np.int64) for name, values in labels.items()}

    signature = tf.TensorSpec((BATCH, *image_shape)), {name: tf.TensorSpec((BATCH,), tf.int64) for name in outputs}
    # The next batch is made while the network learns from this one.
    for batch in tf.data.Dataset.from_generator(draw_batches, output_signature=signature).prefetch(2).take(STEPS):
        step(*batch)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        network.save(temporary)
    return network


def convolutions(image_shape: tuple[int, int, int], outputs: dict[str, int]) -> keras.Model:
    """Images (N, height, width, channels) in [0, 255] -> {"features": (N, SIZE), each output's name: logits}."""
    inputs = keras.Input(image_shape)
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    if image_shape[0] > 96:  # Larger ones hold nothing that is needed here, and take long.
        x = layers.AveragePooling2D(image_shape[0] // 64)(x)
    for width in (16, 32, 64, 128):
        x = layers.Conv2D(width, 3, strides=2, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dense(SIZE, use_bias=False)(layers.Flatten()(x))
    features = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    ends = {name: layers.Dense(size, name=name)(features) for name, size in outputs.items()}
    return keras.Model(inputs, {"features": features, **ends})


def moved(images: np.ndarray, random: np.random.Generator, mirror: bool) -> np.ndarray:
    """Each image moved by up to a tenth of its sides, and mirrored or not where `mirror`."""
    count, height, width, _ = images.shape
    far_y, far_x = height // 10, width // 10
    padded = np.pad(images, ((0, 0), (far_y, far_y), (far_x, far_x), (0, 0)), "reflect")
    result = np.empty_like(images)
    for i, (y, x, mirrored) in enumerate(random.integers((2 * far_y + 1, 2 * far_x + 1, 2), size=(count, 3))):
        image = padded[i, y : y + height, x : x + width]
        result[i] = image[:, ::-1] if mirror and mirrored else image
    return result


def turned(images: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Each image mirrored or not, moved, recoloured, and turned: float32 images and how often by 90 degrees. Without
    all that, the network would know a small set's images by heart."""
    count = len(images)
    turns = random.integers(4, size=count)
    images = np.stack([np.rot90(one, n) for one, n in zip(moved(images, random, mirror=True), turns, strict=True)])

    def uniform(low, high, channels):
        return low + (high - low) * random.random((count, 1, 1, channels), np.float32)

    values = (images - np.float32(127.5)) * uniform(0.6, 1.4, 1) + uniform(97.5, 157.5, images.shape[-1])
    grey = values.mean(axis=-1, keepdims=True)
    return np.clip(grey + (values - grey) * uniform(0, 1.5, 1), 0, 255), {"rotation": turns}
